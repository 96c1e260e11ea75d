# make          build bin/mail: static, reproducible
# make test     all tests; make check: all that a change must pass; make help lists the rest

PROGRAM  = mail
PREFIX   = /usr/local
BINDIR   = $(PREFIX)/bin
DATADIR  = $(PREFIX)/share
MANDIR   = $(DATADIR)/man
DESTDIR  =
VERSION := $(or $(VERSION),$(shell git describe --tags --always --dirty 2>/dev/null),devel)

GO          = go
TAGS        = urfave_cli_no_docs
LDFLAGS     = -s -w -buildid= -X main.version=$(VERSION)
BUILD       = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags $(TAGS) -ldflags '$(LDFLAGS)'
TESTFLAGS   = -timeout 20m
FUZZTIME    = 10s
BENCH       = .
STATICCHECK = bin/staticcheck
FOREIGN     = pkg/interop/foreign
PLATFORMS   = linux/amd64 linux/arm64 linux/386 darwin/amd64 darwin/arm64 freebsd/amd64 openbsd/amd64

.PHONY: build test check race fuzz bench soak demo lab man completions install install-names uninstall dist clean help

build:
	$(BUILD) -o bin/mail ./cmd/mail

# The client libraries of others are a module of their own, out of the toolkit's go.mod.
test:
	$(GO) test $(TESTFLAGS) ./...
	$(GO) -C $(FOREIGN) test $(TESTFLAGS) ./...

# What a change must pass.
check: $(STATICCHECK)
	@unformatted=$$(gofmt -l cmd pkg); test -z "$$unformatted" || { echo "not gofmt'ed: $$unformatted" >&2; exit 1; }
	$(GO) vet ./...
	GOARCH=386 $(GO) vet ./...
	$(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) -C $(FOREIGN) vet ./...
	cd $(FOREIGN) && $(abspath $(STATICCHECK)) ./...
	$(GO) -C $(FOREIGN) mod tidy -diff
	$(MAKE) race

# The detector makes slow, and sees nothing new in, scripts that start a thousand processes and what one goroutine
# does with the corpora or with megabytes of the worst input.
race:
	CGO_ENABLED=1 $(GO) test -race -short -skip 'TestScripts/server_|Corpora|Linear' $(TESTFLAGS) ./...
	CGO_ENABLED=1 $(GO) -C $(FOREIGN) test -race -short $(TESTFLAGS) ./...

$(STATICCHECK):
	GOBIN='$(CURDIR)/bin' $(GO) install honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Each fuzz target in turn: make fuzz FUZZTIME=5m
fuzz:
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

bench:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

# The tests that kill and restart, and those that try at random, for longer.
soak:
	MAIL_SOAK=1 $(GO) test -count=1 -timeout 2h -run 'Kill' -v ./pkg/interop ./pkg/server
	MAIL_SOAK=1 $(GO) test -count=1 -timeout 2h -run 'R10_RandomHistories|P6_MemoryOfHalfAMillion' -v ./pkg/backup
	MAIL_SOAK=1 $(GO) test -count=1 -timeout 2h -run 'M10_RandomTrees|F3_FolderSwapped|S2_CorporaLinear' -v ./pkg/mimetree

# The tour of the toolkit on two mail systems of its own; needs nothing but Go.
demo: build
	PATH='$(CURDIR)/bin':"$$PATH" sh cmd/mail/demo.sh

# A private Dovecot and Postfix to play with, until Ctrl-C; needs root and both installed.
lab: build
	MAIL_LAB='$(CURDIR)/bin/mail' $(GO) test -count=1 -timeout 0 -run '^TestLab$$' -v ./pkg/interop

# The pages, scripts and lists that are made from the command tree and the module graph.
man completions:
	$(GO) test ./cmd/mail -run 'Man|Completion|Modules' -update

# With another PROGRAM the main pages and the completions follow its name.
install: build
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(DATADIR)/bash-completion/completions' \
		'$(DESTDIR)$(DATADIR)/zsh/site-functions' '$(DESTDIR)$(DATADIR)/fish/vendor_completions.d'
	install -m 755 bin/mail '$(DESTDIR)$(BINDIR)/$(PROGRAM)'
	for f in man/*; do s=$${f##*.}; b=$${f##*/}; case $$b in mail.?) b=$(PROGRAM).$$s;; esac; \
		install -d "$(DESTDIR)$(MANDIR)/man$$s" && install -m 644 "$$f" "$(DESTDIR)$(MANDIR)/man$$s/$$b" || exit; done
	put() { sed -e 's/\bmail\b/$(PROGRAM)/g' -e 's/\b_mail\b/_$(PROGRAM)/g' "completions/$$1" >"$$2" && chmod 644 "$$2"; }; \
	put mail.bash '$(DESTDIR)$(DATADIR)/bash-completion/completions/$(PROGRAM)' && \
	put _mail '$(DESTDIR)$(DATADIR)/zsh/site-functions/_$(PROGRAM)' && \
	put mail.fish '$(DESTDIR)$(DATADIR)/fish/vendor_completions.d/$(PROGRAM).fish'

# The old names, beside the program: only where no other program has them.
install-names: install
	for n in sendmail mailx mailq newaliases; do ln -s '$(PROGRAM)' '$(DESTDIR)$(BINDIR)/'$$n || exit; done

uninstall:
	rm -f '$(DESTDIR)$(BINDIR)/$(PROGRAM)' '$(DESTDIR)$(DATADIR)/bash-completion/completions/$(PROGRAM)' \
		'$(DESTDIR)$(DATADIR)/zsh/site-functions/_$(PROGRAM)' '$(DESTDIR)$(DATADIR)/fish/vendor_completions.d/$(PROGRAM).fish'
	for f in man/*; do s=$${f##*.}; b=$${f##*/}; case $$b in mail.?) b=$(PROGRAM).$$s;; esac; \
		rm -f "$(DESTDIR)$(MANDIR)/man$$s/$$b"; done
	cd '$(DESTDIR)$(BINDIR)' && for n in sendmail mailx mailq newaliases; do \
		test "$$(readlink $$n)" != '$(PROGRAM)' || rm -f $$n || exit; done

# One archive for each platform, and their digests.
dist:
	rm -rf dist && mkdir dist
	@set -e; for p in $(PLATFORMS); do \
		d=mail-$(VERSION)-$$(echo $$p | tr / -); mkdir -p dist/$$d; echo $$d; \
		GOOS=$${p%/*} GOARCH=$${p#*/} $(BUILD) -o dist/$$d/mail ./cmd/mail; \
		cp -R LICENSE NOTICE README.md man completions dist/$$d/; \
		tar -C dist --sort=name --owner=0 --group=0 --numeric-owner --mtime=@$${SOURCE_DATE_EPOCH:-0} -cf - $$d | gzip -n >dist/$$d.tar.gz; \
		rm -r dist/$$d; \
	done
	cd dist && sha256sum *.tar.gz >SHA256SUMS

clean:
	rm -rf bin dist

help:
	@grep -E '^[a-z][a-z ]*:' Makefile | cut -d: -f1 | tr ' ' '\n' | sort
