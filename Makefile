# The commands of usrlocd's developers; `make` alone lists them.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help deps run test test-trixie versions contract check supply ui-test fuzz bench large filesystems deb rpm tarball package-test systemd-test reproducible

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

deps: ## install missing Debian packages for the demo and the tests
	@tests/deps

run: deps ## a private Kamailio with two dozen phones, and usrlocd beside it, until Ctrl-C (PORT=, SIP_PORT= set the ports)
	@$(CARGO) build --locked --bin usrlocd --example demo
	@exec $(CARGO) run --locked --quiet --example demo

test: deps ## all tests, including those with a real Kamailio
	$(CARGO) test --locked

test-trixie: ## the tests with a real Kamailio, beside Debian 13's Kamailio 6.0 (TESTS= part of their names)
	@CARGO="$(CARGO)" tests/debian/run trixie $(TESTS)

versions: ## the same beside Debian's other Kamailios: 6.0 of Debian 13, 6.1 of testing
	@CARGO="$(CARGO)" tests/debian/run trixie $(TESTS)
	@CARGO="$(CARGO)" tests/debian/run forky $(TESTS)

contract: deps ## check the API against its own description, with schemathesis and a real Kamailio
	@tests/contract/tool
	$(CARGO) test --locked --test usrlocd contract:: -- --ignored --nocapture

ui-test: deps ## check the page's code, and use the page in a real browser, beside a real Kamailio (TESTS= a pattern of their names)
	@tests/ui/tool
	@cd tests/ui && npm run --silent check
	$(if $(TESTS),TESTS='$(TESTS)' )$(CARGO) test --locked --test usrlocd page:: -- --ignored --nocapture

check: deps supply ## formatting, lints, documentation, licences, then all tests
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	$(CARGO) test --locked

supply: ## check dependencies: licences, banned crates, sources, known vulnerabilities
	@tests/package/supply

fuzz: ## feed damaged pages, logs and files to the reader for several minutes (CASES=, FILES= set the numbers)
	PROPTEST_CASES=$(or $(CASES),20000000) $(CARGO) test --locked --release --lib sqlite_file::tests::garbage::any
	PROPTEST_CASES=$(or $(FILES),100000) $(CARGO) test --locked --release --lib sqlite_file::tests::garbage::damaged

bench: ## measure freshness, speed and cost, in a table (QUICK=1: shorter; ONLY=wal, fast, idle, rollback, burst, register, writer, http, search, flush, history, events, page, million, servers, fleet; flushes: what a flush costs Kamailio in db_mode 1 and 3)
	@tests/deps wrk
	$(CARGO) build --locked --release --bin usrlocd --example bare --example history
	@python3 tests/bench/freshness.py target/release/usrlocd $(if $(QUICK),--quick) $(if $(ONLY),--only=$(ONLY))

large: ## long tests that are otherwise skipped: the figures of the reader alone
	$(CARGO) test --locked --release --lib sqlite_file -- --ignored --nocapture

filesystems: ## the tests with all files on ext4, XFS, Btrfs and tmpfs (as root; FILESYSTEMS= selects)
	@CARGO="$(CARGO)" tests/filesystems

deb: ## build the Debian package in target/package, and check it with lintian
	@tests/package/lint

rpm: ## build the rpm package in target/package, and check it with rpmlint
	@tests/package/rpmlint

tarball: ## build the archive for other systems in target/package
	@tests/package/deps
	@deploy/tarball/build

package-test: ## install, upgrade and remove the packages: deb in a separate Debian 11, 12 and 13, rpm and archive in a root of their own (as root; SUITE= one of bullseye, bookworm, trixie, rpm, tarball)
	@for suite in $(or $(SUITE),bullseye bookworm trixie rpm tarball); do \
	    case $$suite in rpm|tarball) tests/package/$$suite ;; *) tests/package/chroot $$suite ;; esac || exit 1; \
	done

systemd-test: ## run the package under a real systemd beside a real Kamailio, in a separate Debian 11, 12 and 13 (as root; SUITE=)
	@for suite in $(or $(SUITE),bullseye bookworm trixie); do tests/package/systemd $$suite || exit 1; done

reproducible: ## build the release twice in two directories and compare the bytes (Debian 12 and newer)
	@tests/package/reproducible
