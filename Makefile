# fxplatform/Makefile
#
# Two groups of targets.  "demo", "demo-stop", "check" and their relatives start
# on a machine that has nothing but git and make: they are scripts which
# install what is missing and then call the second group.  Everything else is
# plain PGXS, honours PG_CONFIG and DESTDIR, and installs nothing by apt.

ONE_COMMAND = check demo demo-stop bench check-clean matrix major-upgrade recovery-drill soak fuzz \
	check-assert check-valgrind check-ubsan check-asan coverage deb dist

ifneq ($(filter $(ONE_COMMAND),$(MAKECMDGOALS)),)

.PHONY: $(ONE_COMMAND)

check demo bench matrix major-upgrade recovery-drill soak fuzz deb dist:
	@./scripts/$@.sh

# by hand: what they take is in doc/testing.md
check-assert check-valgrind check-ubsan check-asan coverage:
	@./scripts/sanitize.sh $(@:check-%=%)

demo-stop:
	@./scripts/demo.sh stop

check-clean:
	rm -rf tmp_run tmp_check tmp_matrix tmp_drill tmp_soak tmp_fuzz tmp_sanitize tmp_deb tmp_upgrade demo_run

else

EXTENSION = fxplatform
MODULE_big = fxplatform
PG_CONFIG ?= pg_config

# The control file is the only source of the version.  PGXN wants it in
# META.json too, so that file is compared on every build.
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(EXTENSION).control)
META_VERSIONS := $(shell sed -n '/"meta-spec"/q; s/.*"version": "\(.*\)".*/\1/p' META.json)
ifneq ($(META_VERSIONS),$(EXTVERSION) $(EXTVERSION))
$(error META.json does not state version $(EXTVERSION) of $(EXTENSION).control)
endif

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
PGFILEDESC = "fxplatform - database of an FX trading platform"
PG_CPPFLAGS = -DFXPLATFORM_VERSION=\"$(EXTVERSION)\"
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers $(WERROR)

# The extension as it is now, in load order, with the migrations bundled before
# the last part, which applies them.
SQL_LAST = sql/99_install.sql
SQL_PARTS = $(filter-out $(SQL_LAST),$(sort $(wildcard sql/[0-9]*.sql)))
MIGRATIONS = $(sort $(wildcard migrations/*.sql))

# What a release installed is frozen in sql/upgrade ("make freeze").  The steps
# from the last release and back are the difference of two install scripts,
# unless they are there already, written by hand or frozen with their release.
PREVIOUS = 1.0.0
WHOLE = sql/$(EXTENSION)--$(EXTVERSION).sql
FROZEN = sql/upgrade/$(EXTENSION)--$(PREVIOUS).sql
STEP_UP = sql/$(EXTENSION)--$(PREVIOUS)--$(EXTVERSION).sql
STEP_DOWN = sql/$(EXTENSION)--$(EXTVERSION)--$(PREVIOUS).sql
DATA = $(wildcard sql/upgrade/$(EXTENSION)--*.sql)
DATA_built = $(filter-out $(DATA:sql/upgrade/%=sql/%),$(WHOLE) $(STEP_UP) $(STEP_DOWN))

# pg_regress reads inputs from test/sql and expected results from expected.
# It looks in ./sql before test/sql, so a test that shares its name with a
# file there would run that file instead; refuse such a name.
REGRESS = $(sort $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=pgcrypto --load-extension=$(EXTENSION)

ISOLATION = $(sort $(patsubst test/isolation/specs/%.spec,%, \
	$(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=. \
	--load-extension=pgcrypto --load-extension=$(EXTENSION)

TAP_TESTS = 1
PROVE_TESTS = $(sort $(wildcard test/t/*.pl))

clash := $(filter $(REGRESS),$(basename $(notdir $(wildcard sql/*.sql))) $(ISOLATION))
ifneq ($(clash),)
$(error name of a test is also that of a script or of a spec: $(clash))
endif

EXTRA_CLEAN = tmp_install tmp_instance $(WHOLE) $(STEP_UP) $(STEP_DOWN) $(addsuffix .tmp,$(WHOLE) $(STEP_UP) $(STEP_DOWN))

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

all: $(DATA_built)

$(WHOLE): $(SQL_PARTS) $(SQL_LAST) $(MIGRATIONS) scripts/bundle-migrations.sh $(EXTENSION).control
	{ cat $(SQL_PARTS) && sh scripts/bundle-migrations.sh migrations && cat $(SQL_LAST); } \
		> $@.tmp && mv $@.tmp $@

# Once it is frozen, a version stays as it is.
RELEASED = $(wildcard sql/upgrade/$(EXTENSION)--$(EXTVERSION).sql)
ifneq ($(RELEASED),)
.PHONY: as-released
all: as-released
as-released: $(WHOLE)
	@cmp -s $(RELEASED) $(WHOLE) || \
		{ echo "$(RELEASED) is released, and sql/ or migrations/ have changed: raise the version" >&2; exit 1; }
endif

$(STEP_UP): $(WHOLE) $(FROZEN) scripts/step-script.awk
	awk -f scripts/step-script.awk from=$(PREVIOUS) to=$(EXTVERSION) $(FROZEN) $(WHOLE) \
		> $@.tmp && mv $@.tmp $@

$(STEP_DOWN): $(WHOLE) $(FROZEN) scripts/step-script.awk
	awk -f scripts/step-script.awk from=$(EXTVERSION) to=$(PREVIOUS) $(WHOLE) $(FROZEN) \
		> $@.tmp && mv $@.tmp $@

$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h) $(EXTENSION).control

# pgTAP runs through pg_prove, in a database of its own.
PGTAP_DB = pgtap_regression
PG_PROVE ?= pg_prove

.PHONY: localcheck pgtapcheck freeze

# With the commit that is released.  The next one raises the version in the
# control file and in META.json, and PREVIOUS to this version.
freeze: $(DATA_built)
	cp $(DATA_built) sql/upgrade/

# Everything but pgTAP, without root and without a running server.  The setting
# extension_destdir is Debian's; elsewhere run "make install installcheck".
localcheck: all
	rm -rf tmp_install tmp_instance
	$(MAKE) -s install DESTDIR='$(CURDIR)/tmp_install'
	{ echo "extension_destdir = '$(CURDIR)/tmp_install'"; \
	  echo "dynamic_library_path = '$(CURDIR)/tmp_install$(pkglibdir):\$$libdir'"; \
	} > tmp_install/local.conf
	TEMP_CONFIG='$(CURDIR)/tmp_install/local.conf' $(MAKE) installcheck \
		EXTRA_REGRESS_OPTS="--temp-instance=tmp_instance --temp-config=tmp_install/local.conf $(EXTRA_REGRESS_OPTS)"

pgtapcheck:
	$(bindir)/dropdb --if-exists $(PGTAP_DB)
	$(bindir)/createdb $(PGTAP_DB)
	$(bindir)/psql -X -q -v ON_ERROR_STOP=1 -d $(PGTAP_DB) \
		-c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION $(EXTENSION) CASCADE'
	$(PG_PROVE) -d $(PGTAP_DB) --ext .sql test/pgtap

endif
