# Laptops and CI run the same targets. scripts/tools installs tools outside of the clone.

TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/face-liveness-facade/tools
FUZZ_SECONDS ?= 60
IMAGE ?= face-liveness-facade
LOAD_IMAGE ?= face-liveness-facade-load
LOAD_FOLDER = $(or $(CARGO_TARGET_DIR),target)/load-image
# The URL of the source, for the image's label, and another base image for the Dockerfile.
IMAGE_SOURCE ?=
RUST_IMAGE ?=
IMAGE_ARGS = $(if $(RUST_IMAGE),--build-arg RUST_IMAGE=$(RUST_IMAGE)) --build-arg SOURCE=$(IMAGE_SOURCE) \
	--build-arg VERSION=$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml) --build-arg REVISION=$(shell git rev-parse HEAD)
BINARY = $(or $(CARGO_TARGET_DIR),target)/debug/face-liveness-facade
RELEASE_BINARY = $(abspath $(or $(CARGO_TARGET_DIR),target)/release/face-liveness-facade)

# Cargo builds the program again for the benchmarks, with the features of the tests' dependencies.
SHIPPED = cargo build --release && cp $(RELEASE_BINARY) $(RELEASE_BINARY)-shipped

.PHONY: test test-release check privacy-proof interop-simulator interop-service interop-mesh snippets e2e e2e-aws e2e-chart e2e-clients e2e-kubernetes load-image \
	chart-generate bench bench-pieces \
	bench-instructions bench-throttling bench-waiters bench-fairness soak fuzz image image-test engine sbom tools-test tools-bench tools-check tools-interop tools-mesh tools-snippets \
	tools-aws tools-kubernetes tools-clients tools-chart tools-fuzz tools-image tools-sbom \
	release tools-release

test: ## All tests. Needs cargo, a C compiler and redis-server, which it installs as root on Debian.
	@command -v redis-server >/dev/null || $(MAKE) --no-print-directory tools-test
	cargo test --workspace

test-release: ## The tests that start the program, with its release build.
	@command -v redis-server >/dev/null || $(MAKE) --no-print-directory tools-test
	cargo build --release
	TESTED_PROGRAM=$(RELEASE_BINARY) cargo test --test integration -- aws_responses:: upstream:: hostile:: signals:: stalled_log:: memory:: configuration:: binary:: log:: drain:: specification:: deliveries::
	@# One after the other: they count reads within a second.
	TESTED_PROGRAM=$(RELEASE_BINARY) cargo test --test integration -- quota:: --include-ignored --test-threads 1

check: tools-check ## Format, lints, contract, licenses, imports between modules, documentation.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings
	$(TOOLS)/bin/buf lint
	$(TOOLS)/bin/buf format --diff --exit-code
	TOOLS=$(TOOLS) scripts/contract
	$(TOOLS)/bin/cargo-deny --workspace --log-level error check licenses bans sources
	$(TOOLS)/bin/hadolint Dockerfile tests/kubernetes/load/Dockerfile
	scripts/modules --self-test
	scripts/modules
	scripts/docs
	tests/docs/using_results.py
	scripts/terms
	tests/release/run

privacy-proof: ## Where an image, a score, an S3 key or a session id is found after every response and fault: the table of docs/privacy.md, as it is.
	cargo test --test integration privacy::no_personal_data -- --nocapture

interop-simulator: tools-interop ## The simulator against boto3 and the AWS SDK for JavaScript.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run simulator $(BINARY)

interop-service: tools-interop ## The service against grpcurl, buf curl, promtool and a Python client.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run service $(BINARY)

interop-mesh: tools-mesh ## The service behind Envoy: shutdowns under load, a rolling update, an AWS outage, mutual TLS, client identities, JSON.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run mesh $(BINARY)

snippets: tools-snippets ## Executes every block of the documentation. What it cannot, it lists with the reason. Half a minute.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run snippets $(BINARY)

e2e: interop-mesh snippets e2e-chart e2e-clients ## Envoy, the chart and the clients, with real tools in pinned versions.

e2e-aws: tools-aws ## Compares AWS, with your credentials, with the simulator and docs/. Costs a few cents. ARGS=--help lists the options.
	cargo build
	$(TOOLS)/python/bin/python -B tests/aws/acceptance.py $(BINARY) $(ARGS)

e2e-chart: tools-chart ## The Helm chart, without a cluster: schemas, policy, alerts, and the program with the settings of the manifests.
	cargo build
	TOOLS=$(TOOLS) tests/chart/run $(BINARY)

chart-generate: tools-chart ## Generates the chart's options, its README and docs/configuration.md from the program's help.
	cargo build
	scripts/chart-options $(BINARY)
	scripts/docs-configuration $(BINARY)
	$(TOOLS)/bin/helm-docs --sort-values-order file --log-level warning --chart-search-root helm/face-liveness-facade

e2e-clients: tools-clients ## The examples of clients/, the programs of docs/calling.md, ghz and grpc-health-probe. A few minutes.
	cargo build
	TOOLS=$(TOOLS) tests/interop/run clients $(BINARY)

e2e-kubernetes: tools-kubernetes ## The chart and the service on the cluster of KUBECONFIG, under load. Says what it needs. 40 minutes.
	TOOLS=$(TOOLS) tests/kubernetes/run

load-image: engine tools-kubernetes ## The image $(LOAD_IMAGE), with the load clients of e2e-kubernetes.
	TOOLS=$(TOOLS) tests/kubernetes/load/build $(LOAD_FOLDER)
	docker build --tag $(LOAD_IMAGE) $(LOAD_FOLDER)

bench: tools-bench ## CPU time of a response compared with bare servers, and memory: six minutes, and four to build.
	$(SHIPPED)
	ulimit -n 20000 && TESTED_PROGRAM=$(RELEASE_BINARY)-shipped cargo bench --bench wire

bench-pieces: ## Conversion, cache lookup, verdict and encoding, each separately.
	cargo bench --bench pieces

bench-instructions: tools-bench ## Instructions of a cache hit, compared with a bare tonic method. Half a minute.
	$(SHIPPED)
	TESTED_PROGRAM=$(RELEASE_BINARY)-shipped cargo bench --bench wire -- instructions

bench-throttling: ## Delay of final results under a scarce quota, with and without this service. Ten minutes.
	cargo bench --bench throttling

soak: ## All kinds of callers and outages for ten minutes (SOAK_SECONDS), with limits for memory, descriptors and errors.
	cargo bench --bench soak

bench-waiters: ## Memory and CPU time of 10,000 waiting callers. A minute, with the release build.
	cargo build --release
	TESTED_PROGRAM=$(RELEASE_BINARY) cargo bench --profile dev --bench waiters

bench-fairness: ## Delay of a client's results while another one requests unknown sessions. Ten minutes, with the release build.
	cargo build --release
	TESTED_PROGRAM=$(RELEASE_BINARY) cargo bench --profile dev --bench fairness

fuzz: tools-fuzz ## Fuzzes all parsers of external bytes, FUZZ_SECONDS per target. Failing inputs are in fuzz/artifacts.
	@# So that the fuzzed dependencies are those of the release.
	cp Cargo.lock fuzz/Cargo.lock
	cd fuzz && for target in $(notdir $(wildcard fuzz/corpus/*)); do \
		mkdir -p found/$$target && \
		$(TOOLS)/bin/cargo-fuzz run --sanitizer none $$target found/$$target corpus/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=10 -verbosity=0 -print_funcs=0 -print_final_stats=1 || exit; \
	done

image: engine ## The images $(IMAGE) and $(IMAGE):demo.
	docker build $(IMAGE_ARGS) --target service --tag $(IMAGE) .
	docker build $(IMAGE_ARGS) --target demo --tag $(IMAGE):demo .

image-test: image tools-image ## The images, run with minimal rights.
	TOOLS=$(TOOLS) tests/image/run $(IMAGE) $(IMAGE):demo

engine:
	@docker info >/dev/null 2>&1 || { echo "No Docker engine is reachable: install and start one, or set DOCKER_HOST." >&2; exit 1; }

sbom: tools-sbom ## A CycloneDX list of the components of the production program.
	TOOLS=$(TOOLS) scripts/sbom

# The version of the tag that a forge sets, v1.2.3, is 1.2.3.
release: ## Checks that every version is VERSION, and writes images, binaries, chart, SBOM and checksums to dist/VERSION. Publishes nothing.
	cargo build
	scripts/versions "$(VERSION:v%=%)" $(BINARY)
	$(MAKE) --no-print-directory tools-release
	TOOLS=$(TOOLS) scripts/release $(VERSION:v%=%) $(IMAGE_ARGS)

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

tools-snippets:
	TOOLS=$(TOOLS) scripts/tools snippets

tools-aws:
	TOOLS=$(TOOLS) scripts/tools aws

tools-clients:
	TOOLS=$(TOOLS) scripts/tools clients

tools-kubernetes:
	TOOLS=$(TOOLS) scripts/tools kubernetes

tools-fuzz:
	TOOLS=$(TOOLS) scripts/tools fuzz

tools-chart:
	TOOLS=$(TOOLS) scripts/tools chart

tools-image:
	TOOLS=$(TOOLS) scripts/tools image

tools-sbom:
	TOOLS=$(TOOLS) scripts/tools sbom

tools-release:
	TOOLS=$(TOOLS) scripts/tools release
