# Every target prints the plain command behind it.

.DEFAULT_GOAL := help
.PHONY: help prepare build cluster demo test workflows generate lint fuzz vuln bench-build bench-deploy bench-rollback bench-promote

FUZZTIME ?= 30s
TOOL     := go tool -modfile=tools/go.mod

# The test cluster is a program of its own, outside the shipped module graph.
CLUSTER  ?= embedded
IN        = bin/cluster in --
MODULES  := . examples/orders test/cluster

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Compile the four actions into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/ ./cmd/build-image ./cmd/deploy-staging ./cmd/promote ./cmd/rollback

prepare: ## Fetch every module, and as root the registry and the Prometheus that are tested with; what is there already is left alone
	@missing=; for p in docker-registry prometheus; do command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || { \
		echo "apt-get install$$missing"; apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends $$missing >/dev/null; }
	@for m in $(MODULES); do echo "go mod download -C $$m"; (cd $$m && go mod download) || exit 1; done

cluster: prepare ## Start the test cluster (compiled once: some 14 minutes on two cores)
	go build -C test/cluster -o ../../bin/cluster ./cmd/cluster
	bin/cluster up

ifeq ($(CLUSTER),existing)
demo: prepare build ## The whole story, on the test cluster (CLUSTER=existing: on $$KUBECONFIG's, with FIBERSHIP_TEST_REGISTRY)
	go build -o bin/demo ./test/demo
	bin/demo -through-api-server
else
demo: cluster build
	go build -o bin/demo ./test/demo
	$(IN) bin/demo
endif

workflows: prepare ## Prepare the tests of the workflows: act, Docker's packages, the image's caches (the first time some minutes)
	go run ./test/workflows/cmd/prepare

# Never from the test cache: it does not see the binaries that the tests run.
test: cluster workflows ## Everything that can run here: units, real API server, whole binaries, workflows under act
	go test -C examples/orders ./...
	go test -C test/cluster -timeout 30m ./pki ./provision ./rig ./nameserver ./cmd/cluster
	$(IN) go test -count=1 -timeout 30m -p 4 -parallel 8 $$(go list ./... | grep -v -e /test/e2e$$ -e /test/workflows$$)
	$(IN) go test -count=1 -timeout 30m -parallel 6 ./test/e2e
	$(IN) go test -count=1 -timeout 30m ./test/workflows

bin/ko: tools/ko/go.mod
	CGO_ENABLED=0 go build -C tools/ko -trimpath -ldflags='-s -w' -o ../../bin/ko github.com/google/ko
	@touch $@

bench-build: build bin/ko ## Building against ko: cold, one file, nothing, README (BENCHFLAGS="-cases orders -cold-rounds 0" is the short of it)
	go build -o bin/bench-build ./test/bench/build
	bin/bench-build -out docs/benchmarks.md $(BENCHFLAGS)

bench-rollback: cluster build ## Rollback against kubectl and helm, to a warm version, and a kill at every request (compiles helm once; BENCHFLAGS=-no-kill measures only, "-kill-for 40m -kill-go-on FILE" kills in sittings)
	CGO_ENABLED=0 go build -C tools/helm -trimpath -ldflags='-s -w' -o ../../bin/helm helm.sh/helm/v4/cmd/helm
	go build -o bin/bench-rollback ./test/bench/rollback
	$(IN) bin/bench-rollback -out docs/benchmarks.md $(BENCHFLAGS)

bench-promote: cluster build bin/rollouts-controller ## Promotions of every kind under 500 requests a second, beside Argo Rollouts (BENCHFLAGS="-rounds 3" is the short of it)
	go build -o bin/bench-promote ./test/bench/promote
	$(IN) bin/bench-promote -out docs/benchmarks.md $(BENCHFLAGS)

bin/rollouts-controller: tools/argo-rollouts/go.mod
	CGO_ENABLED=0 go build -C tools/argo-rollouts -trimpath -ldflags='-s -w' -o ../../bin/rollouts-controller github.com/argoproj/argo-rollouts/cmd/rollouts-controller
	@touch $@

bench-deploy: cluster build ## Deploying beside kubectl and helm: time to serve, to a verdict, requests (BENCHFLAGS="-rounds 3 -deadline 20s -sizes 50" is the short of it)
	CGO_ENABLED=0 go build -C tools/helm -trimpath -ldflags='-s -w' -o ../../bin/helm helm.sh/helm/v4/cmd/helm
	go build -o bin/bench-deploy ./test/bench/deploy
	$(IN) bin/bench-deploy -out docs/benchmarks.md $(BENCHFLAGS)

generate: ## Render action.yml files and README tables from the programs' declarations
	go test ./cmd -run TestDocs -count=1 -update

lint: ## golangci-lint and actionlint (the first time compiles them: some minutes)
	$(TOOL) golangci-lint run
	go tool -modfile=tools/actionlint/go.mod actionlint

fuzz: ## Every fuzz test for FUZZTIME (30s)
	@grep -rn --include='*_test.go' -oE '^func Fuzz[A-Za-z_]+' cmd internal | while IFS=: read -r file _ fuzz; do \
		set -- go test "./$$(dirname "$$file")" -run '^$$' -fuzz "^$${fuzz#func }\$$" -fuzztime $(FUZZTIME); \
		echo "$$@"; "$$@" </dev/null || exit 1; \
	done

vuln: ## Known vulnerabilities in what is compiled in (asks vuln.go.dev)
	$(TOOL) govulncheck ./cmd/...
