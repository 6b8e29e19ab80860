# Agent Hive Operations. `make help` lists what there is; every target sets up what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# One way to compile for everything (hive up builds the images' programs the same way), so that one cache serves all.
export CGO_ENABLED := 0

BIN := $(CURDIR)/out/bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)

# Tools are pinned and built from the module proxy into out/bin; the name carries the version, so a new pin rebuilds.
GOLANGCI := $(BIN)/golangci-lint-v2.15.0
WORKFLOWCHECK := $(BIN)/workflowcheck-v0.6.0
GOTESTSUM := $(BIN)/gotestsum-v1.13.0

# A test that fails is run once more by itself, at most three of them: one that passes then is unsteady. It is named at
# the end of `make test`, and is a defect to mend, in the test or in what it tests.
UNSTEADY := $(CURDIR)/out/unsteady
TEST = $(GOTESTSUM) --format pkgname --format-hide-empty-pkg --rerun-fails=1 --rerun-fails-max-failures=3 --hide-summary=skipped

# Modules of their own: heavy dependencies that must not reach the product's go.mod.
MODULES := $(sort $(patsubst %/go.mod,%,$(shell find deploy tests -name go.mod -not -path '*/node_modules/*' 2>/dev/null)))

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: engine hive ## Bring everything up, load it, run WeeklyMaintenance on a newer image, leave it running
	go run ./tests/run

.PHONY: down
down: hive ## Remove what `make run` made: containers, networks, volumes, images (never Docker itself)
	$(BIN)/hive down --volumes leanvibe --images

.PHONY: hive
hive: ## Build the operator's CLI into out/bin
	@mkdir -p $(BIN)
	go build -ldflags '$(LDFLAGS)' -o $(BIN)/hive ./cmd/hive

.PHONY: engine
engine: ## Have a container engine: use the one that answers, else install and start Docker, saying so first
	@if [ -x deploy/setup/engine.sh ]; then deploy/setup/engine.sh; fi

.PHONY: test
test: engine servers build vet lint workflowcheck unit modules control stack unsteady ## Everything continuous integration runs (at most 30 minutes on two cores, caches empty)

.PHONY: servers
servers: ## Install PostgreSQL, Redis and nginx for the tests that start them (not as services)
	@tests/servers.sh

.PHONY: build
build: ## Compile every package
	go build ./...

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: unit
unit: $(GOTESTSUM) ## go test, every package of the main module
	@rm -rf $(UNSTEADY) && mkdir -p $(UNSTEADY)
	$(TEST) --rerun-fails-report=$(UNSTEADY)/main.txt --packages=./... -- -count=1

.PHONY: modules
modules: $(GOTESTSUM) ## Build, vet and test the modules of their own (deploy/temporal, heavy tests)
	@mkdir -p $(UNSTEADY)
	@for module in $(MODULES); do \
	  echo "== $$module"; \
	  (cd $$module && go build ./... && go vet ./... && \
	    $(TEST) --rerun-fails-report=$(UNSTEADY)/$${module//\//-}.txt --packages=./... -- -count=1); \
	done

.PHONY: control
control: servers ## The orchestrator's control steps from a real Temporal
	@mkdir -p $(BIN)
	cd deploy/temporal && go build -o $(BIN)/hive-temporal .
	HIVE_TEMPORAL_BINARY=$(BIN)/hive-temporal go test -count=1 -run TestControl_Temporal ./workers/assignment

.PHONY: unsteady
unsteady: ## Name the tests that passed only when they were run again
	@if grep -rhs . $(UNSTEADY); then echo "unsteady: these failed once and passed when run again (see above); mend them"; fi

.PHONY: stack
stack: engine hive ## On the real stack: one service rolled under three kills, WeeklyMaintenance from the Temporal UI in a browser
	tests/e2e/setup.sh
	tests/stack.sh

.PHONY: lint
lint: $(GOLANGCI) ## golangci-lint, the rules of .golangci.yml
	$(GOLANGCI) run --allow-parallel-runners ./...

.PHONY: workflowcheck
workflowcheck: $(WORKFLOWCHECK) ## Prove that no workflow reads a clock, a random number, a map's order or the network
	@if [ -d workflows ]; then $(WORKFLOWCHECK) -config .workflowcheck.yml ./workflows/...; fi

$(GOLANGCI):
	@mkdir -p $(BIN)/.tool && GOBIN=$(BIN)/.tool go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 && mv $(BIN)/.tool/golangci-lint $@

$(WORKFLOWCHECK):
	@mkdir -p $(BIN)/.tool && GOBIN=$(BIN)/.tool go install go.temporal.io/sdk/contrib/tools/workflowcheck@v0.6.0 && mv $(BIN)/.tool/workflowcheck $@

$(GOTESTSUM):
	@mkdir -p $(BIN)/.tool && GOBIN=$(BIN)/.tool go install gotest.tools/gotestsum@v1.13.0 && mv $(BIN)/.tool/gotestsum $@

.PHONY: e2e
e2e: engine hive ## What users are promised, on the real stack: the Temporal UI in a browser, refusals, troubles, kills, a full disk
	$(BIN)/hive up
	tests/e2e/setup.sh
	cd tests/e2e && HIVE_E2E=1 go test -count=1 -v -timeout 25m ./...

.PHONY: load
load: ## 500 requests a second and 20 WebSockets for a minute on the running stack; fails on any lost or doubled one
	go run ./tests/load/cmd --duration 60s

.PHONY: faults
faults: ## Roll the running stack to bad images under load: each must revert by itself, and nobody lose a request
	go run ./tests/faults

.PHONY: beside
beside: hive ## The weekly work by the runbook's own commands and by WeeklyMaintenance, under the same load, in one table
	go run ./tests/beside

.PHONY: bench
bench: ## The hot path's figures beside their bars: a table and out/bench.json; then the hub by itself; fails when a bar is missed
	go run ./tests/bench/hub
	go run ./tests/bench

.PHONY: peers
peers: servers ## Task queues and message hubs of others beside ours, in one run: a table and out/peers.json
	cd tests/peers && go run . --json $(CURDIR)/out/peers.json

.PHONY: chaos
chaos: engine hive ## Kill opsworker and Temporal at every step and at random moments, at most 50 minutes; ALL=1 goes on, SEED=n replays
	go run ./tests/chaos $(if $(ALL),--all) $(if $(SEED),--seed $(SEED))

.PHONY: kills
kills: servers ## Kill and cut the hot path's parts under load, 100 random moments each, both sides recorded: a table and out/kills.json (90 minutes)
	go run ./tests/kills $(if $(VICTIM),--victim $(VICTIM)) $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

.PHONY: record
record: ## Take histories of the platform's closed runs into tests/replay/histories
	go run ./tests/replay/record
