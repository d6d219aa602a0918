# Every target prints the plain command behind it.

.DEFAULT_GOAL := help
.PHONY: help build generate lint fuzz vuln

FUZZTIME ?= 30s
TOOL     := go tool -modfile=tools/go.mod

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Compile the four actions into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o bin/ ./cmd/build-image ./cmd/deploy-staging ./cmd/promote ./cmd/rollback

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
