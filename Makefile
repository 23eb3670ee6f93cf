# The laptop and CI run these same lines. Tools live outside of the clone: see scripts/tools.

TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/face-liveness-facade/tools
FUZZ_SECONDS ?= 60
BINARY = $(or $(CARGO_TARGET_DIR),target)/debug/face-liveness-facade

.PHONY: test check interop-simulator interop-service e2e-clients bench-throttling bench-waiters fuzz tools-check tools-interop tools-clients tools-fuzz

test: ## All tests. Needs cargo and a C compiler.
	cargo test

check: tools-check ## Format, lints, contract, licences, rooms.
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings
	$(TOOLS)/bin/buf lint
	$(TOOLS)/bin/buf format --diff --exit-code
	TOOLS=$(TOOLS) scripts/contract
	$(TOOLS)/bin/cargo-deny --log-level error check licenses bans sources
	scripts/rooms

interop-simulator: tools-interop ## The simulator against boto3 and the AWS SDK for JavaScript.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run simulator $(BINARY)

interop-service: tools-interop ## The service against grpcurl, buf curl and a Python client.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run service $(BINARY)

e2e-clients: tools-clients ## The examples of clients/, ghz and grpc-health-probe. Two minutes.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run clients $(BINARY)

bench-throttling: ## How late callers learn of a finished session, with and without this service. Six minutes.
	cargo bench --bench throttling

bench-waiters: ## What 10,000 waiting callers cost. A minute.
	cargo bench --bench waiters

fuzz: tools-fuzz ## Made-up input for all that reads bytes from outside, FUZZ_SECONDS a target. What is found is in fuzz/artifacts.
	@# So that what is fuzzed is what is shipped.
	cp Cargo.lock fuzz/Cargo.lock
	cd fuzz && for target in $(notdir $(wildcard fuzz/corpus/*)); do \
		mkdir -p found/$$target && \
		$(TOOLS)/bin/cargo-fuzz run --sanitizer none $$target found/$$target corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=10 -verbosity=0 -print_funcs=0 -print_final_stats=1 || exit; \
	done

tools-check:
	TOOLS=$(TOOLS) scripts/tools check

tools-interop:
	TOOLS=$(TOOLS) scripts/tools interop

tools-clients:
	TOOLS=$(TOOLS) scripts/tools clients

tools-fuzz:
	TOOLS=$(TOOLS) scripts/tools fuzz
