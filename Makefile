# Two commands for everything: `make demo` and `make test`. Both install what they need on a Debian machine with Rust.
SHELL := /bin/bash
.DELETE_ON_ERROR:
ARGS ?=

# One build for both: same profile, same features, same target folder.
BUILD := cargo build --workspace --locked

.PHONY: help demo test bench dist lint deps clean

help:           ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: deps      ## build, start the example mesh, say what to try (ARGS=--once: check it and exit)
	$(BUILD)
	@$$(scripts/target-dir)/debug/meshwork demo $(ARGS)

test:           ## every test
	@scripts/deps tests
	@scripts/drivers
	@scripts/browser
	$(BUILD)
	cargo test --workspace --locked

lint:           ## what else must hold: format, clippy, crate boundaries, licences, generated files
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	scripts/boundaries
	scripts/deny

bench:          ## comparison tables (release build; the first time takes about an hour and 10 GB of data)
	scripts/bench $(ARGS)

dist:           ## tarball, Debian package and checksums in dist/ (PROFILE=dev: quick, for trying it out)
	scripts/dist
	scripts/dist-check $${OUT:-dist}

deps:
	@scripts/deps

clean:
	cargo clean
