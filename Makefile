# make run   sets up and runs the demo on http://localhost:8000/mcp
# make test  sets up and runs every test, stage by stage
# make bench measures the server beside others; see bench/README.md

WORK ?= $(CURDIR)/.work
GO   ?= go

.PHONY: run test test-lint test-go test-e2e test-browser test-clients test-nodes test-bench bench build clean help

help:
	@sed -n 's/^# //p' Makefile

run: build
	@cat demo/welcome.txt
	@mkdir -p .demo
	exec $(WORK)/caddy run --config demo/Caddyfile

build:
	@mkdir -p $(WORK)
	$(GO) build -o $(WORK)/caddy ./cmd/caddy

test:
	@WORK=$(WORK) ./test.sh test-lint test-go test-e2e test-browser test-clients test-nodes test-bench

# The formatter, vet and the linters of .golangci.yml.
test-lint:
	test -z "$$(gofmt -l . | tee /dev/stderr)"
	$(GO) vet ./...
	cd e2e && $(GO) vet ./...
	cd bench && $(GO) vet ./...
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...

# Needs nothing but Go.
test-go:
	$(GO) test $(TESTFLAGS) -race -count=1 ./...

# Real clients, the official suite, xcaddy: they are installed into $(WORK).
test-e2e:
	E2E_WORK=$(WORK)/e2e ./e2e/run

# The pages in Chromium, which apt-get installs when root runs this.
test-browser:
	E2E_WORK=$(WORK)/e2e ./e2e/webbrowser/run

# The table of docs/clients.md: more real clients, two at a time.
test-clients:
	E2E_WORK=$(WORK)/e2e ./e2e/clientmatrix/run

# Several nodes on one PostgreSQL, which apt-get installs when root runs this.
test-nodes:
	E2E_WORK=$(WORK)/e2e ./e2e/nodes/run

# That the benchmark works; its figures are for make bench.
test-bench:
	cd bench && $(GO) test $(TESTFLAGS) -count=1 -timeout=5m ./...

# BENCHFLAGS are the arguments of bench/run.
bench:
	BENCH_WORK=$(WORK)/bench ./bench/run $(BENCHFLAGS)

clean:
	rm -rf .work .demo
