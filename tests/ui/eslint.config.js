// What the page may not do: write markup, run text, load modules late, or ask the viewer's clock.

const sinks = [
  "innerHTML",
  "outerHTML",
  "insertAdjacentHTML",
  "setHTMLUnsafe",
  "parseHTMLUnsafe",
  "parseFromString",
  "createContextualFragment",
  "srcdoc",
  "write",
  "writeln",
];

const common = {
  eqeqeq: "error",
  "no-eval": "error",
  "no-implied-eval": "error",
  "no-new-func": "error",
  "no-var": "error",
  "prefer-const": "error",
  "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
  "no-shadow": "error",
  "max-lines": ["error", 400],
};

export default [
  { ignores: ["**/node_modules/**"] },
  { files: ["tests/ui/**/*.js"], linterOptions: { reportUnusedDisableDirectives: "error" }, rules: common },
  {
    files: ["src/ui/**/*.js"],
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      ...common,
      "no-script-url": "error",
      "no-console": "error",
      "no-restricted-properties": [
        "error",
        ...sinks.map((property) => ({ property })),
        { object: "Date", property: "now" },
      ],
      "no-restricted-syntax": [
        "error",
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: "The server's clock counts." },
        { selector: "NewExpression[callee.name='DOMParser']", message: "There is no markup here." },
        { selector: "ImportExpression", message: "Modules are imported at the beginning." },
      ],
      "max-lines-per-function": ["error", { max: 60, skipBlankLines: true, skipComments: true }],
      complexity: ["error", 16],
    },
  },
];
