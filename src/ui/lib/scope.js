// Whose registrations are shown: this node's, or the fleet's, as the address says.

class Scope {
  /** What usrlocd answers for: the fleet only, the fleet too, or this node. @type {"only" | "too" | null} */
  offered = null;

  get isFleet() {
    return this.offered === "only" || this.parameter === "fleet";
  }

  /** What the API is to be told. */
  get parameter() {
    return this.offered === "too" && /[?&]scope=fleet(&|$)/.test(location.hash) ? "fleet" : undefined;
  }
}

export const scope = new Scope();
