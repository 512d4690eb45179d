# pgbaton - the only build file. `make help` lists the targets.
#
# MODE is debug (default), release, asan, tsan or cov; each has its folder under build/.
# CC=clang OUT=build/clang builds with another compiler beside it. FOLDERS="base conf" builds
# and tests only these folders, for work on one part.

MODE    ?= debug
OUT     ?= build/$(MODE)
FOLDERS ?= base raft ha pgctl pgctl/guard api conf cli daemon
PREFIX  ?= /usr/local
PYTHON  ?= /usr/bin/python3
SEED    ?= 1
SEEDS   ?= 200
ROUNDS  ?= 20
MINUTES ?= 30

CLANG_FORMAT ?= clang-format
CLANG_TIDY   ?= clang-tidy
PKG_CONFIG   ?= pkg-config

# --- Sources, found by pattern: adding a file is adding a file. ---

SUFFIXES_IO := uv lmdb pq msgpack yaml sys mhd gnutls json curl
MAINS       := daemon/main.c pgctl/guard/main.c cli/main.c

SRC       := $(wildcard $(addsuffix /*.c,$(FOLDERS)))
GUARD_SRC := $(filter-out $(MAINS),$(filter pgctl/guard/%,$(SRC)))
CLI_SRC   := $(filter-out $(MAINS),$(filter cli/%,$(SRC)))
LIB_SRC   := $(filter-out $(MAINS) $(GUARD_SRC) $(CLI_SRC),$(SRC))
SIM_SRC   := $(wildcard tests/sim/*.c)

# The fakes stand in for parts of these two folders, and need them.
TEST_LIB_SRC := $(wildcard tests/lib/*.c) $(if $(filter raft ha,$(FOLDERS)),$(wildcard tests/fake/*.c))

# All tests; or those of the folders named on the command line.
tests_of = $(foreach f,$(FOLDERS),$(wildcard tests/$(1)/test_$(subst /,_,$(f))_*.c \
	tests/$(1)/test_$(notdir $(f))*.c))
ifeq ($(origin FOLDERS),file)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
IO_SRC   := $(wildcard tests/io/test_*.c)
else
UNIT_SRC := $(sort $(call tests_of,unit))
IO_SRC   := $(sort $(call tests_of,io))
endif

UNIT := $(UNIT_SRC:%.c=$(OUT)/%)
IO   := $(IO_SRC:%.c=$(OUT)/%)
LIBS := $(OUT)/libcli.a $(OUT)/libguard.a $(OUT)/libpgbaton.a

# A program is built as soon as it has a main.
PROGRAMS := $(if $(filter daemon/main.c,$(SRC)),$(OUT)/pgbaton) \
	$(if $(filter pgctl/guard/main.c,$(SRC)),$(OUT)/pgbaton-guard) \
	$(if $(filter cli/main.c,$(SRC)),$(OUT)/pgbatonctl)
SIM := $(if $(SIM_SRC),$(OUT)/pgbaton-sim)

# What a pure file may not do is proved by `make purity`. assert.c and log.c are the two that
# end in the outside world on purpose; the commands of a user are not pure.
PURE := $(filter-out $(foreach s,$(SUFFIXES_IO),%_$(s).c) base/assert.c base/log.c daemon/% cli/%, \
	$(LIB_SRC) $(GUARD_SRC))

FORMATTED := $(wildcard $(foreach f,$(FOLDERS) tests/unit tests/io tests/lib tests/fake tests/sim \
	tests/fuzz tests/jepsen tests/model,$(f)/*.c $(f)/*.cpp $(f)/*.h))

# --- Flags. The compiler and pkg-config are asked only when something is to be compiled, so ---
# --- that `make deps` works on a machine that has neither. ---

NO_BUILD := help deps check demo demo-stop bench clean fmt fmt-check includes install e2e e2e-long soak mutants model
ifneq ($(filter-out $(NO_BUILD),$(or $(MAKECMDGOALS),all)),)
FLAGS := $(OUT)/flags-$(notdir $(CC)).mk
include $(FLAGS)
endif

PACKAGES := libuv lmdb libpq libmicrohttpd gnutls jansson libcurl yaml-0.1 msgpack
CODE_FLAGS := -fno-omit-frame-pointer -fno-common -fstack-protector-strong
HARDENING  := -fstack-clash-protection -fcf-protection -fPIE -ftrivial-auto-var-init=zero

# One line for each: the flags this compiler knows out of a list, and where the libraries are.
$(OUT)/flags-$(notdir $(CC)).mk: tests/lint/warnings.txt Makefile
	@mkdir -p $(@D)
	@probe() { \
		for flag in "$$@"; do \
			$(CC) -Werror $$flag -c -x c /dev/null -o /dev/null >/dev/null 2>&1 && printf ' %s' $$flag; \
		done; echo; \
	}; \
	set -e; \
	$(PKG_CONFIG) --exists --print-errors $(PACKAGES) || { echo 'run "make deps"' >&2; exit 1; }; \
	{ \
		printf 'WARN :='; probe $$(sed 's/#.*//' tests/lint/warnings.txt); \
		printf 'HARD :='; probe $(HARDENING); \
		printf 'PKG_CFLAGS := %s\n' "$$($(PKG_CONFIG) --cflags $(PACKAGES))"; \
		printf 'PKG_LIBS := %s\n' "$$($(PKG_CONFIG) --libs $(PACKAGES))"; \
		printf 'TEST_LIBS := %s\n' "$$($(PKG_CONFIG) --libs cmocka)"; \
	} >$@.new
	@mv $@.new $@

# -Werror in every mode but that of a release: a newer compiler must not break a build from source.
CFLAGS_debug   := -O1 -Werror
CFLAGS_release := -O2 -D_FORTIFY_SOURCE=3 $(HARD)
CFLAGS_asan    := -O1 -Werror -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_tsan    := -O1 -Werror -fsanitize=thread
CFLAGS_cov     := -O0 -Werror --coverage
LDFLAGS_release := -pie -Wl,-z,relro,-z,now,-z,noexecstack
ifeq ($(origin CFLAGS_$(MODE)),undefined)
$(error MODE is debug, release, asan, tsan or cov, not "$(MODE)")
endif

ALL_CFLAGS  = -std=c11 -D_GNU_SOURCE -I. -g -pthread -MMD -MP $(CODE_FLAGS) $(PKG_CFLAGS) $(WARN) \
	$(CFLAGS_$(MODE)) $(CFLAGS)
ALL_LDFLAGS = -pthread -Wl,--as-needed $(CFLAGS_$(MODE)) $(LDFLAGS_$(MODE)) $(CFLAGS) $(LDFLAGS)

# --- Targets for people. ---

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all build-all deps unit io sim mutants model e2e e2e-long soak check demo demo-stop bench docs fmt fmt-check includes \
	purity tidy clean install help

# The programs: pgbaton, pgbaton-guard, pgbatonctl.
all: $(LIBS) $(PROGRAMS)

# The programs and every test program, without running any.
build-all: all $(UNIT) $(IO) $(SIM)

# Install with apt-get what packages.txt names and this machine lacks.
deps:
	@tests/install-packages.sh packages.txt

# Tests of single files, without I/O.
unit: $(UNIT)
	@tests/run-tests.sh 120 $(UNIT)

# Tests of the adapters, each against the real library.
io: $(IO) $(PROGRAMS)
	@PGBATON_BUILD=$(abspath $(OUT)) tests/run-tests.sh 180 $(IO)

# The simulator: make sim SEED=1 SEEDS=200, and what it never came to; SEEDS=1 replays one seed.
sim: $(SIM)
	@$(SIM) --seed=$(SEED) --seeds=$(SEEDS) $(if $(filter-out 1,$(SEEDS)),--coverage)

# Planted bugs, each of which the simulator or a unit test must notice; takes long.
mutants: SEEDS := 400
mutants:
	@$(PYTHON) tests/mutants.py --seeds=$(SEEDS)

# The rules of leases as a model, in all its states; BROKEN=1: each rule taken away, V=1: how it shows.
model: $(OUT)/model
	@tests/model/run.sh $< $(if $(BROKEN),broken,holds) $(MODEL_STATES)

# Whole clusters: real daemons and a real PostgreSQL, with pytest.
e2e:
	@$(MAKE) --no-print-directory all
	@PGBATON_BUILD=$(abspath $(OUT)) timeout 900 $(PYTHON) -m pytest -q -n 2 --dist loadfile tests/e2e

# Random faults in whole clusters, some five seconds a round: make e2e-long SEED=1 ROUNDS=20
e2e-long:
	@$(MAKE) --no-print-directory all
	@PGBATON_BUILD=$(abspath $(OUT)) SEED=$(SEED) ROUNDS=$(ROUNDS) $(PYTHON) -m pytest -q tests/e2e/drill.py

# Full load of CPU and disk, under which nothing may happen: make soak MINUTES=30
soak:
	@$(MAKE) --no-print-directory all
	@PGBATON_BUILD=$(abspath $(OUT)) MINUTES=$(MINUTES) $(PYTHON) -m pytest -q -s tests/e2e/soak.py

# Everything a change must pass; ends in "N passed, N failed".
check:
	@$(MAKE) --no-print-directory deps
	@tests/run-check.sh

# A cluster of three nodes on this machine, to try things out.
demo:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory MODE=release OUT=build/release all
	@PGBATON_BUILD=$(abspath build/release) tests/demo.sh start

# End what `make demo` began.
demo-stop:
	@tests/demo.sh stop

# Write gaps and costs, into docs/measurements.md: make bench BENCH="--runs 3 --with-patroni".
bench:
	@$(MAKE) --no-print-directory deps
	@tests/install-packages.sh packages-bench.txt
	@$(MAKE) --no-print-directory MODE=release OUT=build/release all
	@PGBATON_BUILD=$(abspath build/release) timeout -k 60 3000 $(PYTHON) -B tests/bench/bench.py $(BENCH)

# Write conf/pgbaton.yaml anew from the list of keys.
docs: $(OUT)/tests/io/test_conf_load_sys
	@REWRITE=1 tests/run-tests.sh 60 $<

# Format all C files in place.
fmt:
	$(CLANG_FORMAT) -i $(FORMATTED)

# Fail if a C file is not formatted.
fmt-check:
	@$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)

# Fail if a file includes what its folder or its suffix does not allow.
includes:
	@tests/lint/includes.sh

# Fail if an object of a pure file calls out of the pure files.
purity: $(PURE:%.c=$(OUT)/%.o)
	@tests/lint/purity.sh $^

# clang-tidy over the sources, with .clang-tidy.
tidy: $(FLAGS)
	@command -v $(CLANG_TIDY) >/dev/null || { echo 'run "make deps"' >&2; exit 1; }
	@printf '%s\n' $(SRC) | xargs -P 2 -n 4 sh -c '$(CLANG_TIDY) --quiet "$$@" -- \
		-std=c11 -D_GNU_SOURCE -I. $(PKG_CFLAGS) 2>/dev/null' tidy

# Remove what was built.
clean:
	rm -rf build

# Install a release build below $(DESTDIR)$(PREFIX).
install:
	@$(MAKE) --no-print-directory MODE=release OUT=build/release all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/share/doc/pgbaton
	install -m 755 build/release/pgbaton build/release/pgbaton-guard build/release/pgbatonctl \
		$(DESTDIR)$(PREFIX)/bin
	install -m 644 conf/pgbaton.service $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 644 LICENSE $(wildcard conf/*.yaml conf/*.cfg) $(DESTDIR)$(PREFIX)/share/doc/pgbaton

# This list.
help:
	@awk '/^# / { text = substr($$0, 3); next } \
		/^[a-z][a-z0-9-]*:/ && text { sub(/:.*/, "", $$1); printf "  %-10s %s\n", $$1, text } \
		{ text = "" }' Makefile

# --- Rules. V=1 shows the whole commands. ---

say = $(if $(V),,@echo "  $(1) $@";)

$(OUT)/%.o: %.c $(FLAGS)
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CFLAGS) -c $< -o $@

# Made anew each time: ar would keep members whose source is gone.
define archive
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR) ar rcs $@ $(filter %.o,$^)
endef

$(OUT)/libpgbaton.a: $(LIB_SRC:%.c=$(OUT)/%.o)
	$(archive)
$(OUT)/libguard.a: $(GUARD_SRC:%.c=$(OUT)/%.o)
	$(archive)
$(OUT)/libcli.a: $(CLI_SRC:%.c=$(OUT)/%.o)
	$(archive)
$(OUT)/libtest.a: $(TEST_LIB_SRC:%.c=$(OUT)/%.o)
	$(archive)

$(OUT)/pgbaton: $(OUT)/daemon/main.o $(OUT)/libpgbaton.a
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

# No libraries: the guard is locked into memory and has to stay small. Static, which halves it, and
# because nothing on a disk may be needed any more when it kills. The sanitizers cannot have it so.
GUARD_LDFLAGS_debug   := -static-pie
GUARD_LDFLAGS_release := -static-pie

$(OUT)/pgbaton-guard: $(OUT)/pgctl/guard/main.o $(OUT)/libguard.a $(OUT)/libpgbaton.a
	$(call say,LD) $(CC) $(filter-out -pie,$(ALL_LDFLAGS)) $(GUARD_LDFLAGS_$(MODE)) -o $@ $^

$(OUT)/pgbatonctl: $(OUT)/cli/main.o $(OUT)/libcli.a $(OUT)/libpgbaton.a
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(OUT)/tests/unit/%: $(OUT)/tests/unit/%.o $(OUT)/libtest.a $(LIBS)
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) $(TEST_LIBS) -lm
$(OUT)/tests/io/%: $(OUT)/tests/io/%.o $(OUT)/libtest.a $(LIBS)
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) $(TEST_LIBS) -lm

$(OUT)/pgbaton-sim: $(SIM_SRC:%.c=$(OUT)/%.o) $(OUT)/libtest.a $(OUT)/libguard.a $(OUT)/libpgbaton.a
	$(call say,LD) $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

# Always for speed: what is checked is the protocol, not this program.
$(OUT)/model: tests/model/lease.cpp $(wildcard tests/model/*.h)
	@mkdir -p $(@D)
	$(call say,CXX) $(CXX) -std=c++17 -O2 -Wall -Wextra -Wshadow -Werror -I. -o $@ $<

ifdef FLAGS
-include $(patsubst %.c,$(OUT)/%.d,$(SRC) $(TEST_LIB_SRC) $(SIM_SRC) $(UNIT_SRC) $(IO_SRC))
endif
