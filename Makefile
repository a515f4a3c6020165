# A thin word for Meson: meson.build is the only build description.
PREFIX ?= /usr/local
BUILD ?= build

all: deps
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --prefix=$(PREFIX) --buildtype=release
	@ninja -C $(BUILD) moka

deps: ; @sh scripts/deps.sh
demo: all ; @sh scripts/demo.sh $(BUILD)/moka
test: deps ; @sh scripts/test.sh
bench: all ; @sh scripts/bench.sh $(BUILD)/moka
install: all ; @meson install -C $(BUILD)
format: ; @sh scripts/check_format.sh --fix
clean: ; @rm -rf build build-*

.PHONY: all deps demo test bench install format clean
