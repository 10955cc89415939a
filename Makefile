# Meridian. `make` builds build/meridian; `make help` lists the rest.
#
# Sources are found by folder: every *.c in a folder of LIB_DIRS goes into one static library, tests link against it.
# BUILD=release (default) | debug | asan | tsan | fuzz. Release is built in build/, the others in build/<BUILD>/.

BUILD ?= release
OUT := $(if $(filter release,$(BUILD)),build,build/$(BUILD))
OBJ := $(OUT)/obj

LIB_DIRS := base crdt rdb migrate shard script storage syncer proxy worker manager api sim
IO_DIRS := io cli
LLHTTP_DIR ?= /usr/share/llhttp
LLHTTP_SRC := $(wildcard $(LLHTTP_DIR)/*.c)

PKGS := libuv openssl libnghttp2 jansson msgpack libzstd
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS) lua5.1 2>/dev/null)
PKG_LIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null)

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wformat=2 \
	-Wcast-qual -Wwrite-strings -Wimplicit-fallthrough -fno-common -Werror
CPPFLAGS := -I. -isystem /usr/share/include -D_GNU_SOURCE -DXXH_INLINE_ALL
ifeq ($(BUILD),release)
CC ?= gcc
CFLAGS := -std=c11 -O2 -g $(WARN)
ALLOC_LIBS := -ljemalloc
CPPFLAGS += -DMERIDIAN_JEMALLOC=1
else ifeq ($(BUILD),debug)
CFLAGS := -std=c11 -O0 -g3 $(WARN)
else ifeq ($(BUILD),asan)
CFLAGS := -std=c11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined $(WARN)
LDFLAGS := -fsanitize=address,undefined
else ifeq ($(BUILD),tsan)
CFLAGS := -std=c11 -O1 -g -fsanitize=thread $(WARN)
LDFLAGS := -fsanitize=thread
else ifeq ($(BUILD),fuzz)
CC := clang
CFLAGS := -std=c11 -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined $(WARN)
LDFLAGS := -fsanitize=address,undefined
else
$(error BUILD is release, debug, asan, tsan or fuzz)
endif
LUA_LIBS := -l:liblua5.1-cjson.a -l:liblua5.1-bitop.a -l:liblua5.1.a
LDLIBS = $(LUA_LIBS) $(PKG_LIBS) $(ALLOC_LIBS) -lpthread -lm -ldl


lib_src := $(foreach d,$(LIB_DIRS),$(wildcard $(d)/*.c $(d)/*/*.c))
io_src := $(foreach d,$(IO_DIRS),$(wildcard $(d)/*.c $(d)/*/*.c))
lib_obj := $(lib_src:%.c=$(OBJ)/%.o)
io_obj := $(filter-out $(OBJ)/cli/main.o,$(io_src:%.c=$(OBJ)/%.o))
llhttp_obj := $(LLHTTP_SRC:$(LLHTTP_DIR)/%.c=$(OBJ)/llhttp/%.o)
unit_obj := $(patsubst %.c,$(OBJ)/%.o,$(wildcard tests/unit/*.c))
sim_obj := $(patsubst %.c,$(OBJ)/%.o,$(wildcard tests/sim/*.c))
GEN := $(OUT)/gen
# A planted bug (tests/sim/mutants.txt) is compiled in with MUTANT=name: only the files that know it are built anew.
ifneq ($(MUTANT),)
OUT := build/mutants/$(MUTANT)
mutated := $(shell grep -lE 'MUTANT_$(MUTANT)\b' $(lib_src))
lib_obj := $(patsubst %.c,$(OUT)/obj/%.o,$(mutated)) $(patsubst %.c,$(OBJ)/%.o,$(filter-out $(mutated),$(lib_src)))
endif
LIB := $(OUT)/libmeridian.a
IOLIB := $(OUT)/libmeridian-io.a

.PHONY: docs docs-check all help deps test unit tsan sim replay mutants scenarios e2e bench bench-full demo lint format format-check clean fuzz fuzz-targets
all: $(OUT)/meridian

$(OUT)/meridian: $(OBJ)/cli/main.o $(IOLIB) $(LIB)
	@echo "  LD    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(OBJ)/cli/main.o $(IOLIB) $(LIB) $(LDLIBS)

$(LIB): $(lib_obj) $(llhttp_obj)
	@rm -f $@; ar rcs $@ $^
$(IOLIB): $(io_obj)
	@mkdir -p $(@D)
	@rm -f $@; ar rcs $@ $^

$(OBJ)/llhttp/%.o: $(LLHTTP_DIR)/%.c
	@mkdir -p $(@D)
	@$(CC) $(filter-out $(WARN),$(CFLAGS)) -w -I/usr/share/include/llhttp -c -o $@ $<

$(OBJ)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(PKG_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The index of all commands by name, made from the tables in shard/cmd_*.c.
cmd_src := $(wildcard shard/cmd_*.c)
$(GEN)/command_index.h: shard/command_index.awk shard/command_facts.txt $(cmd_src)
	@mkdir -p $(@D)
	@awk -f shard/command_index.awk shard/command_facts.txt $(cmd_src) > $@.new && mv $@.new $@
$(OBJ)/shard/command.o: $(GEN)/command_index.h
$(OBJ)/shard/command.o: CPPFLAGS += -I$(GEN)

ifneq ($(MUTANT),)
$(OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) -DMUTANT_$(MUTANT)=1 $(PKG_CFLAGS) $(CFLAGS) -c -o $@ $<
endif

-include $(shell find $(OBJ) -name '*.d' 2>/dev/null)

# ------------------------------------------------------------------ tests
$(OUT)/tests/unit: $(unit_obj) $(IOLIB) $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(unit_obj) $(IOLIB) $(LIB) $(shell pkg-config --libs criterion) $(LDLIBS)
$(OUT)/tests/replay_model: $(OBJ)/tests/replay_model.o $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)
$(OUT)/tests/make_fixture: $(OBJ)/tests/fixtures/make_fixture.o $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)
$(OUT)/tests/sim: $(sim_obj) $(LIB)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(sim_obj) $(LIB) $(LDLIBS)
$(OUT)/tests/tsan: $(OBJ)/tests/tsan/neighbours.o $(filter $(OBJ)/base/%,$(lib_obj)) $(filter $(OBJ)/io/%,$(io_obj))
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(OUT)/commands_md: $(OBJ)/tools/commands_md.o $(LIB)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)
$(OUT)/probe: $(OBJ)/tests/bench/probe.o
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $<
$(OUT)/turns.so: tests/bench/turns.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -shared -fPIC -o $@ $<
$(OUT)/bench_shard: $(OBJ)/tests/bench/bench_shard.o $(LIB)
	@$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS)
fuzz-targets: $(patsubst tests/%.c,$(OUT)/%,$(wildcard tests/fuzz/fuzz_*.c))
$(OUT)/fuzz/%: $(OBJ)/tests/fuzz/%.o $(IOLIB) $(LIB)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $< $(IOLIB) $(LIB) $(LDLIBS)

unit: $(OUT)/tests/unit
	$(OUT)/tests/unit
tsan:
	@$(MAKE) --no-print-directory BUILD=tsan build/tsan/tests/tsan
	build/tsan/tests/tsan
SEEDS ?= 200
FIRST ?= 1
sim: $(OUT)/tests/sim
	$(OUT)/tests/sim --first $(FIRST) --seeds $(SEEDS)
replay: $(OUT)/tests/sim
	$(OUT)/tests/sim --first $(SEED) --seeds 1 --verbose $(FLAGS)
mutants: deps
	tests/sim/mutants.sh
scenarios: $(OUT)/meridian
	$(OUT)/meridian lab run $(SHARED)/scenarios/*.scn
SHARED ?= ../shared
test: deps
	tools/test.sh
demo: deps
	@$(MAKE) --no-print-directory all
	@build/meridian demo
bench: deps
	@$(MAKE) --no-print-directory all
	tests/bench/bench.sh short
bench-full: deps
	@$(MAKE) --no-print-directory all
	tests/bench/bench.sh full
deps:
	@tools/install-deps.sh
lint:
	@tools/lint.sh
format:
	clang-format -i $(shell git ls-files '*.c' '*.h')
# docs/commands.md from the command table; docs-check fails when it is not what the table says.
docs: $(OUT)/commands_md
	@$(OUT)/commands_md docs/commands.txt > build/commands.md && mv build/commands.md docs/commands.md
docs-check: $(OUT)/commands_md
	@$(OUT)/commands_md docs/commands.txt > build/commands.md
	@cmp build/commands.md docs/commands.md || { echo "docs/commands.md is out of date: make docs"; exit 1; }
format-check:
	@clang-format --dry-run --Werror $(shell git ls-files '*.c' '*.h')
clean:
	rm -rf build
help:
	@echo "make            build/meridian"
	@echo "make demo       installs what is missing, builds, runs three regions until Ctrl-C"
	@echo "make test       the whole suite; ends with 'N passed, N failed'"
	@echo "make unit | tsan | sim SEEDS=n | replay SEED=n | mutants | scenarios | bench | bench-full"
	@echo "make lint | format | format-check | clean      BUILD=debug|asan|tsan|fuzz"
