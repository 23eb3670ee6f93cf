# The laptop and CI run these same lines. Tools live outside of the clone: see scripts/tools.

TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/face-liveness-facade/tools
BINARY = $(or $(CARGO_TARGET_DIR),target)/debug/face-liveness-facade

.PHONY: test check interop-simulator interop-service bench-throttling bench-waiters tools-check tools-interop

test: ## All tests. Needs cargo and a C compiler.
	cargo test

check: tools-check ## Format, lints, contract, licences, rooms.
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings
	$(TOOLS)/bin/buf lint
	$(TOOLS)/bin/buf format --diff --exit-code
	$(TOOLS)/bin/cargo-deny --log-level error check licenses bans sources
	scripts/rooms

interop-simulator: tools-interop ## The simulator against boto3 and the AWS SDK for JavaScript.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run simulator $(BINARY)

interop-service: tools-interop ## The service against grpcurl, buf curl and a Python client.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run service $(BINARY)

bench-throttling: ## How late callers learn of a finished session, with and without this service. Six minutes.
	cargo bench --bench throttling

bench-waiters: ## What 10,000 waiting callers cost. A minute.
	cargo bench --bench waiters

tools-check:
	TOOLS=$(TOOLS) scripts/tools check

tools-interop:
	TOOLS=$(TOOLS) scripts/tools interop
