# The laptop and CI run these same lines. Tools live outside of the clone: see scripts/tools.

TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/face-liveness-facade/tools
FUZZ_SECONDS ?= 60
IMAGE ?= face-liveness-facade
# Where the image's source lies, for its label; and a mirror's name for the Dockerfile's base image.
IMAGE_SOURCE ?=
RUST_IMAGE ?=
IMAGE_ARGS = $(if $(RUST_IMAGE),--build-arg RUST_IMAGE=$(RUST_IMAGE)) --build-arg SOURCE=$(IMAGE_SOURCE) \
	--build-arg VERSION=$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml) --build-arg REVISION=$(shell git rev-parse HEAD)
BINARY = $(or $(CARGO_TARGET_DIR),target)/debug/face-liveness-facade
RELEASE_BINARY = $(abspath $(or $(CARGO_TARGET_DIR),target)/release/face-liveness-facade)

.PHONY: test test-release check privacy-proof interop-simulator interop-service interop-mesh e2e e2e-chart e2e-clients chart-generate bench bench-pieces \
	bench-instructions bench-throttling bench-waiters soak fuzz image image-test engine sbom tools-test tools-bench tools-check tools-interop tools-mesh \
	tools-clients tools-chart tools-fuzz tools-image \
	tools-sbom

test: ## All tests. Needs cargo, a C compiler and redis-server, which is installed where that is allowed.
	@command -v redis-server >/dev/null || $(MAKE) --no-print-directory tools-test
	cargo test --workspace

test-release: ## The tests that start the program, against its release build.
	@command -v redis-server >/dev/null || $(MAKE) --no-print-directory tools-test
	cargo build --release
	TESTED_PROGRAM=$(RELEASE_BINARY) cargo test --test integration -- hostile:: stalled_log:: memory:: configuration:: binary:: log::

check: tools-check ## Format, lints, contract, licenses, AWS and gRPC types in their modules, documentation.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings
	$(TOOLS)/bin/buf lint
	$(TOOLS)/bin/buf format --diff --exit-code
	TOOLS=$(TOOLS) scripts/contract
	$(TOOLS)/bin/cargo-deny --workspace --log-level error check licenses bans sources
	$(TOOLS)/bin/hadolint Dockerfile
	scripts/rooms
	scripts/docs

privacy-proof: ## Where a face, a score, an S3 key or a session id is found after every answer and fault: the table of docs/privacy.md, as it is.
	cargo test --test integration privacy::no_personal_data -- --nocapture

interop-simulator: tools-interop ## The simulator against boto3 and the AWS SDK for JavaScript.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run simulator $(BINARY)

interop-service: tools-interop ## The service against grpcurl, buf curl, promtool and a Python client.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run service $(BINARY)

interop-mesh: tools-mesh ## The service behind Envoy: stops under load, a rolling update, an outage of AWS, mutual TLS, forwarded identities.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run mesh $(BINARY)

e2e: interop-mesh e2e-chart e2e-clients ## Envoy, the chart and the clients, with real tools in pinned versions.

e2e-chart: tools-chart ## The Helm chart, without a cluster: schemas, policy, alerts, and the program run as the manifests say.
	cargo build
	TOOLS=$(TOOLS) tests/chart/run $(BINARY)

chart-generate: tools-chart ## Generates from the help of the program: the chart's options, its README and docs/configuration.md.
	cargo build
	scripts/chart-options $(BINARY)
	scripts/docs-configuration $(BINARY)
	$(TOOLS)/bin/helm-docs --sort-values-order file --log-level warning --chart-search-root helm/face-liveness-facade

e2e-clients: tools-clients ## The examples of clients/, the programs of docs/calling.md, ghz and grpc-health-probe. A few minutes.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run clients $(BINARY)

bench: tools-bench ## What an answer costs next to a bare server, and what the service takes: six minutes, and four to build.
	ulimit -n 20000 && cargo bench --bench wire

bench-pieces: ## Conversion, look-up, verdict and encoding, each by itself.
	cargo bench --bench pieces

bench-instructions: tools-bench ## How many instructions a hit takes, as a ratio to a bare tonic method. Half a minute.
	cargo bench --bench wire -- instructions

bench-throttling: ## How late callers learn of a finished session, with and without this service, on one replica and on five. Ten minutes.
	cargo bench --bench throttling

soak: ## All kinds of callers and all troubles of AWS for ten minutes, or SOAK_SECONDS: does anything grow?
	cargo bench --bench soak

bench-waiters: ## What 10,000 waiting callers cost. A minute, with the release build.
	cargo build --release
	TESTED_PROGRAM=$(RELEASE_BINARY) cargo bench --profile dev --bench waiters

fuzz: tools-fuzz ## Made-up input for all that reads bytes from outside, FUZZ_SECONDS a target. What is found is in fuzz/artifacts.
	@# So that what is fuzzed is what is shipped.
	cp Cargo.lock fuzz/Cargo.lock
	cd fuzz && for target in $(notdir $(wildcard fuzz/corpus/*)); do \
		mkdir -p found/$$target && \
		$(TOOLS)/bin/cargo-fuzz run --sanitizer none $$target found/$$target corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=10 -verbosity=0 -print_funcs=0 -print_final_stats=1 || exit; \
	done

image: engine ## The images $(IMAGE) and $(IMAGE):demo.
	docker build $(IMAGE_ARGS) --target service --tag $(IMAGE) .
	docker build $(IMAGE_ARGS) --target demo --tag $(IMAGE):demo .

image-test: image tools-image ## The images, run with no more rights than they need.
	TOOLS=$(TOOLS) tests/image/run $(IMAGE) $(IMAGE):demo

engine:
	@docker info >/dev/null 2>&1 || { echo "No Docker engine answers: install and start one, or set DOCKER_HOST to it." >&2; exit 1; }

sbom: tools-sbom ## What the production program is made of, as CycloneDX.
	TOOLS=$(TOOLS) scripts/sbom

tools-test:
	TOOLS=$(TOOLS) scripts/tools test

tools-bench:
	TOOLS=$(TOOLS) scripts/tools bench

tools-check:
	TOOLS=$(TOOLS) scripts/tools check

tools-interop:
	TOOLS=$(TOOLS) scripts/tools interop

tools-mesh:
	TOOLS=$(TOOLS) scripts/tools mesh

tools-clients:
	TOOLS=$(TOOLS) scripts/tools clients

tools-fuzz:
	TOOLS=$(TOOLS) scripts/tools fuzz

tools-chart:
	TOOLS=$(TOOLS) scripts/tools chart

tools-image:
	TOOLS=$(TOOLS) scripts/tools image

tools-sbom:
	TOOLS=$(TOOLS) scripts/tools sbom
