# One command a line; README.md says when to use which.
.PHONY: build test generate

build: ## the binary, static
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o pixel .

test: ## everything, installing what it needs
	bash .ci/run

generate: ## the tag's bundles
	go generate ./sdk
