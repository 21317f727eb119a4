# One command a line; README.md says when to use which.
.PHONY: build test generate chaos

build: ## the binary, static
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o pixel .

test: ## everything, installing what it needs
	bash .ci/run

generate: ## the tag's bundles
	go generate ./sdk

chaos: ## the fault suite: break it under load, and count what was lost
	go run ./bench/chaos
