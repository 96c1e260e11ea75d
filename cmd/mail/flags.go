package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"
)

// Categories of flags in help texts; a leaf's own flags have none.
const (
	serverOptions = "server"
	sharedOptions = "shared"
)

// sharedFlags holds the destinations of the flags that every leaf has.
type sharedFlags struct {
	account, config, server       string
	json, quiet, dryRun           bool
	verbose                       int
	timeout                       time.Duration
	user, auth, caFile, pin       string
	passwordFile, passwordCommand string
	tokenCommand, proxy           string
	passwordFD                    int
	noInput, allowCleartext       bool
}

// flags gives the flags that l gets beside its own.
func (s *sharedFlags) flags(l leaf) []cli.Flag {
	var all []cli.Flag
	if l.changes {
		all = append(all, &cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, change nothing",
			Destination: &s.dryRun})
	}
	if l.network != "" {
		all = append(all, s.network()...)
	}
	return append(all, s.every()...)
}

// every gives the flags of all leaves.
func (s *sharedFlags) every() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "account", Aliases: []string{"a"}, Category: sharedOptions, Destination: &s.account,
			Usage: "use the account `NAME` of the configuration"},
		&cli.StringFlag{Name: "config", Category: sharedOptions, Destination: &s.config,
			Usage: "read the configuration from `FILE`"},
		&cli.StringFlag{Name: "server", Category: sharedOptions, Destination: &s.server,
			Usage: "use the server at `URL` and no account: smtps://, imaps://, pop3s://, …"},
		&cli.BoolFlag{Name: "json", Category: sharedOptions, Destination: &s.json,
			Usage: "print one JSON object a line"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Category: sharedOptions, Destination: &s.quiet,
			Usage: "print errors only on standard error"},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Category: sharedOptions, Count: &s.verbose,
			Usage: "tell more on standard error; twice: the server's lines too, three times: all data"},
		durationFlag("timeout", "give up when nothing happens for `TIME`: 30s, 5m", &s.timeout, sharedOptions),
	}
}

// network gives the flags of leaves that speak to a server.
func (s *sharedFlags) network() []cli.Flag {
	str := func(name, usage string, dest *string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, Destination: dest, Category: serverOptions}
	}
	return []cli.Flag{
		str("user", "log in as `USER`", &s.user),
		str("auth", "use the SASL mechanism `NAME`; auto takes what is strongest on this connection", &s.auth),
		str("password-file", "read the password from `FILE`", &s.passwordFile),
		&cli.IntFlag{Name: "password-fd", Value: -1, DefaultText: " ", Category: serverOptions, Destination: &s.passwordFD,
			Usage: "read the password from the open file descriptor `N`"},
		str("password-command", "take what `COMMAND` prints as the password", &s.passwordCommand),
		str("token-command", "take what `COMMAND` prints as the OAuth2 token", &s.tokenCommand),
		str("ca-file", "trust the certificates in `FILE` instead of the system's", &s.caFile),
		str("pin", "trust only the certificate or key with this SHA-256 `DIGEST`", &s.pin),
		str("proxy", "connect through the proxy at `URL`: socks5:// or http://", &s.proxy),
		&cli.BoolFlag{Name: "no-input", Usage: "never ask at the terminal", Category: serverOptions,
			Destination: &s.noInput},
		&cli.BoolFlag{Name: "allow-cleartext-password", Category: serverOptions, Destination: &s.allowCleartext,
			Usage: "send the password even where it can be overheard"},
	}
}

// value is a flag value that is parsed by a function. The library sets a flag once more from its own String when the
// flag has aliases, so String must parse back to the same value.
type value struct {
	set     func(string) error
	text    string
	choices []string // what completion offers
}

func (v *value) Set(s string) error {
	if err := v.set(s); err != nil {
		return err
	}
	v.text = s
	return nil
}

func (v *value) String() string { return v.text }

// durationFlag is a time with a unit, or whole seconds.
func durationFlag(name, usage string, dest *time.Duration, category string) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Category: category, Value: &value{set: func(s string) error {
		if n, err := strconv.ParseUint(s, 10, 32); err == nil {
			*dest = time.Duration(n) * time.Second
			return nil
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return fmt.Errorf("not a time like 90s, 5m or 1h30m")
		}
		*dest = d
		return nil
	}}}
}

// sizeFlag is a number of octets: 4096, 500k, 10M, 1GiB; letters mean powers of 1024.
func sizeFlag(name, usage string, dest *int64) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &value{set: func(s string) error {
		n, err := parseSize(s)
		if err == nil {
			*dest = n
		}
		return err
	}}}
}

func parseSize(s string) (int64, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if letter := strings.TrimSuffix(strings.TrimSuffix(text, "b"), "i"); strings.TrimRight(letter, "kmgt") != letter {
		text = letter + "ib"
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("not a size like 4096, 500k or 10M")
	}
	return int64(n), nil
}

// maxMessageFlag bounds what a server can make a command read.
func maxMessageFlag(dest *int64) cli.Flag {
	return sizeFlag("max-message", "refuse a message of more than `SIZE`, such as 50M (default: 2G)", dest)
}

// choiceFlag is one of a few words.
func choiceFlag(name, usage string, dest *string, choices ...string) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &value{choices: choices, set: func(s string) error {
		for _, c := range choices {
			if s == c {
				*dest = s
				return nil
			}
		}
		return fmt.Errorf("one of %s expected", strings.Join(choices, ", "))
	}}}
}

// destFlag is where messages go: "-", maildir:DIR, mbox:FILE or eml:DIR. Only its form is checked here.
func destFlag(name, usage string, dest *string) cli.Flag {
	return &cli.GenericFlag{Name: name, Usage: usage, Value: &value{text: *dest, set: func(s string) error {
		kind, path, found := strings.Cut(s, ":")
		known := kind == "maildir" || kind == "mbox" || kind == "eml"
		if s != "-" && (!found || !known || path == "") {
			return fmt.Errorf("one of -, maildir:DIR, mbox:FILE, eml:DIR expected")
		}
		*dest = s
		return nil
	}}}
}
