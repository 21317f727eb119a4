# One command a line; README.md says when to use which.
.PHONY: build test generate reference dashboards lint sbom reproduce alerts faults chaos rolling torn soak costs identity pages fresh deploy attacks

build: ## the binary, static
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o pixel .

test: ## everything, installing what it needs
	bash .ci/run

generate: ## the tag's bundles
	go generate ./sdk

reference: ## docs/reference, from the code
	go test ./config -run TestTheReference -update
	go test ./modules/admin -run TestTheReference -update
	go test ./modules/app -run TestTheReference -update

dashboards: ## Grafana's files, from docs/deploy/grafana/dashboards.yml
	go test ./modules/ops -run TestTheDashboards -update

faults: ## the dispatcher's fault table in its long form: a partner is down for ten minutes
	PIXEL_TEST_LONG=1 go test -count=1 -timeout 60m -v -run TestTheFaultTable ./modules/dispatcher

lint: ## static checks: .golangci.yml, and known vulnerabilities where their data can be had
	.ci/lint

deploy: ## the files for Compose, Kubernetes and an OpenTelemetry Collector, by the code of their own tools
	.ci/deploy all

fresh: ## the README's commands on a bare Debian; TESTS=tests for the test command too
	.ci/fresh $(TESTS)

sbom: build ## what the binary consists of, as CycloneDX
	go run .ci/sbom.go ./pixel > pixel.cdx.json

reproduce: ## builds twice, and compares
	.ci/reproduce

alerts: ## breaks things for real, and watches the alerts fire and clear; twenty minutes
	PIXEL_TEST_ALERTS=1 go test ./modules/cli -run TestAlerts -v -timeout 60m

attacks: ## attacks on a running process, in turns with ordinary requests: others wait a tenth longer at most
	PIXEL_TEST_LONG=1 go test -count=1 -timeout 30m -v -run TestAttacks ./modules/cli

chaos: ## the fault suite: break it under load, and count what was lost
	go run ./bench/chaos

torn: ## the embedded queue's log cut and spoiled at every byte; half an hour
	TMPDIR=/dev/shm PIXEL_TEST_LONG=1 go test -count=1 -timeout 3h -v -run TestATornLog ./modules/queue/sqlitequeue

rolling: ## a fleet behind HAProxy is upgraded and rolled back under load, and nothing may fail
	go test -count=1 -timeout 30m -v -run TestRollingRestart ./bench/chaos

soak: ## twenty minutes at 70 % of what it can take, with the traffic of shops: is memory flat, and latency?
	go run ./bench/chaos -soak 20m -at 0.7

costs: ## what an event costs each role, for pixel simulate plan (needs the tests' ClickHouse engine)
	go run ./bench/chaos -soak 5m -at 0.5 -apart -costs modules/simulate/costs.json

identity: ## the profiles of a million identifiers against an offline union-find, and what a visitor takes
	PIXEL_IDENTITY_IDS=1130000 go test ./modules/identity -run 'TestAPopulation|TestWhatAVisitor' -v -timeout 30m

pages: ## how long each page of the console takes with a million events in the embedded store; PIXEL_PAGES_STORE=FILE keeps it
	PIXEL_PAGES_EVENTS=1000000 go test ./modules/admin -run TestThePagesWithAFullStore -v -timeout 30m
