package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/mail-toolkit/mail/pkg/auth"
	"github.com/mail-toolkit/mail/pkg/wire"
)

// Overrides is what flags say, and the doors to the outside. Empty fields are flags that were not given.
type Overrides struct {
	Account, ConfigFile, Server, User, CAFile, Auth, PasswordFile, PasswordCommand string

	PasswordFD   int    // -1: not given
	TokenCommand string // words as a shell would cut them, but run without one; PasswordCommand likewise
	Pin, Proxy   string // Pin may hold several, with commas between
	Timeout      time.Duration

	NoInput                bool // never ask on the terminal
	AllowCleartextPassword bool

	Getenv  func(string) string                // nil: an empty environment
	OpenTTY func() (io.ReadWriteCloser, error) // nil: the process's terminal
}

// Target is one server, ready to be dialled.
type Target struct {
	Account     string // the account's name; empty when the server was given by flag or environment
	Endpoint    wire.Endpoint
	Wire        wire.Config // without a trace
	Credentials auth.Credentials
	From        string // the sender's address by environment or account; may be empty
	Aliases     string // file of the account, or empty
	SentMailbox string // of the account, or empty
}

// Label names the target in messages: `work (imap.example.org:993)`, or without an account `imap.example.org:993`.
func (t Target) Label() string {
	if t.Account == "" {
		return t.Endpoint.Address()
	}
	return t.Account + " (" + t.Endpoint.Address() + ")"
}

// variable is the environment variable that holds the server's URL for a protocol.
func variable(p wire.Protocol) string {
	switch p {
	case wire.IMAP:
		return "MAIL_IMAP"
	case wire.POP3:
		return "MAIL_POP"
	}
	return "MAIL_SMTP"
}

// key is the account's key for a protocol.
func key(p wire.Protocol) string {
	switch p {
	case wire.IMAP:
		return "imap"
	case wire.POP3:
		return "pop"
	}
	return "smtp"
}

// Resolve finds the server for a protocol, how to reach it and how to log in. The server comes from --server, from
// the account named by --account, from MAIL_IMAP, MAIL_SMTP or MAIL_POP, from the account named by MAIL_ACCOUNT, or
// from the default account, in this order. A server that comes without an account needs no configuration file, and
// reads none. Credentials without a User mean that no login is wanted: nothing named one.
//
// The secret is not fetched. Errors are *Error, or *auth.SourceError for a netrc file that cannot be used.
func Resolve(proto wire.Protocol, o Overrides) (*Target, error) {
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	r := &resolver{Overrides: o, proto: proto, account: &Account{}}
	if err := r.server(); err != nil {
		return nil, err
	}
	t := &Target{Account: r.account.Name, Endpoint: r.endpoint, From: first(o.Getenv("MAIL_FROM"), r.account.From),
		Aliases: r.account.Aliases, SentMailbox: r.account.SentMailbox}
	if err := r.wire(&t.Wire); err != nil {
		return nil, err
	}
	if err := r.credentials(&t.Credentials); err != nil {
		return nil, err
	}
	t.Endpoint.User = t.Credentials.User
	return t, nil
}

// OpenFile loads the configuration that o names: by flag, by MAIL_CONFIG, or at the default path. A missing file at
// the default path is an error with errors.Is(err, fs.ErrNotExist) and a hint how to write one.
func OpenFile(o Overrides) (*File, error) {
	getenv := o.Getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	if named := first(o.ConfigFile, getenv("MAIL_CONFIG")); named != "" {
		return Load(expandHome(named))
	}
	path := DefaultPath(getenv)
	if path == "" {
		return nil, &Error{Msg: "there is no home directory to look for the configuration in", Hint: "give --config FILE or --server URL"}
	}
	f, err := Load(path)
	var missing *Error
	if errors.Is(err, fs.ErrNotExist) && errors.As(err, &missing) {
		missing.Msg = "there is no configuration"
		missing.Hint = `write it, for example: [account.work] imap = "imaps://alice@imap.example.org" smtp = "smtps://alice@smtp.example.org"; or give --server URL`
	}
	return f, err
}

// resolver works out one Target.
type resolver struct {
	Overrides
	proto    wire.Protocol
	account  *Account // an empty one when there is none
	endpoint wire.Endpoint
	given    bool // the URL was given by flag or environment
}

// first returns the first string that is not empty.
func first(s ...string) string {
	if i := slices.IndexFunc(s, func(s string) bool { return s != "" }); i >= 0 {
		return s[i]
	}
	return ""
}

// server finds the account or the URL.
func (r *resolver) server() error {
	name := variable(r.proto)
	switch {
	case r.Server != "" && r.Account != "":
		return &Error{Msg: "--server and --account exclude each other", Hint: "a server given by URL uses nothing of an account"}
	case r.Server != "":
		return r.url("--server", r.Server)
	case r.Account != "":
		return r.fromFile(r.Account)
	case r.Getenv(name) != "":
		return r.url(name, r.Getenv(name))
	}
	return r.fromFile(r.Getenv("MAIL_ACCOUNT"))
}

// url takes the server from a URL that is not in the file.
func (r *resolver) url(origin, raw string) error {
	ep, err := wire.ParseEndpoint(raw)
	if err == nil {
		err = checkProtocol(ep, r.proto)
	}
	if err != nil {
		return &Error{Msg: origin + ": " + err.Error()}
	}
	r.endpoint, r.given = ep, true
	return nil
}

// fromFile takes the server from an account of the file; an empty name is the default account.
func (r *resolver) fromFile(name string) error {
	f, err := OpenFile(r.Overrides)
	if errors.Is(err, fs.ErrNotExist) && name == "" && r.ConfigFile == "" && r.Getenv("MAIL_CONFIG") == "" {
		return r.nothing(err)
	}
	if err != nil {
		return err
	}
	if r.account, err = f.Pick(name); err != nil {
		return err
	}
	raw := r.account.Server(r.proto)
	if raw == "" {
		return &Error{
			File: f.Path, Line: r.account.Line, Msg: fmt.Sprintf("account %q has no %s server", r.account.Name, strings.ToUpper(string(r.proto))),
			Hint: fmt.Sprintf("add %s = %q to [account.%s]", key(r.proto), example(r.proto), r.account.Name),
		}
	}
	r.endpoint, err = wire.ParseEndpoint(raw)
	return err
}

// example is a server URL for a hint.
func example(p wire.Protocol) string {
	switch p {
	case wire.IMAP:
		return "imaps://alice@imap.example.org"
	case wire.POP3:
		return "pop3s://alice@pop.example.org"
	case wire.LMTP:
		return "lmtp+unix:///run/lmtp"
	}
	return "smtps://alice@smtp.example.org"
}

// nothing says that no server is known at all.
func (r *resolver) nothing(err error) error {
	var missing *Error
	e := &Error{Msg: fmt.Sprintf("no %s server is given, and there is no configuration", strings.ToUpper(string(r.proto)))}
	if errors.As(err, &missing) {
		e.Hint = fmt.Sprintf("give --server %s or %s, or write %s with: [account.work] %s = %q",
			example(r.proto), variable(r.proto), missing.File, key(r.proto), example(r.proto))
	}
	return e
}

// Pick returns the account to use: the one called name, or when name is empty the default, or the only one.
func (f *File) Pick(name string) (*Account, error) {
	switch {
	case name != "":
		return f.Account(name)
	case f.Default != "":
		return f.Account(f.Default)
	case len(f.Accounts) == 1:
		return f.Accounts[0], nil
	case len(f.Accounts) == 0:
		return nil, &Error{File: f.Path, Msg: "there is no account in it", Hint: `write for example: [account.work] imap = "imaps://alice@imap.example.org"`}
	}
	return nil, &Error{File: f.Path, Msg: "there are several accounts and no default", Hint: fmt.Sprintf("give --account NAME, or write default = %q as the first line", f.Accounts[0].Name)}
}

// wire fills in how to connect.
func (r *resolver) wire(w *wire.Config) (err error) {
	a := r.account
	if ca := first(r.CAFile, r.Getenv("MAIL_CA"), a.CAFile); ca != "" {
		if w.RootCAs, err = loadCA(ca); err != nil {
			return err
		}
	}
	if w.Pins = a.Pins; r.Pin != "" {
		if w.Pins, err = parsePins(r.Pin); err != nil {
			return err
		}
	}
	if a.ClientCert != "" {
		if w.Certificate, err = loadCertificate(a.ClientCert, a.ClientKey); err != nil {
			return err
		}
	}
	if proxy := first(r.Proxy, a.Proxy); proxy != "" {
		if w.Proxy, err = parseProxy(proxy); err != nil {
			return &Error{Msg: "--proxy: " + err.Error()}
		}
	}
	w.Tunnel = a.Tunnel
	w.SourceIP = net.ParseIP(a.SourceIP)
	if w.Timeout = r.Timeout; w.Timeout == 0 {
		w.Timeout = a.Timeout
	}
	w.DialTimeout = w.Timeout
	return nil
}

// parsePins reads the value of --pin.
func parsePins(s string) ([][32]byte, error) {
	var pins [][32]byte
	for _, one := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		pin, err := parsePin(one)
		if err != nil {
			return nil, &Error{Msg: "--pin: " + err.Error()}
		}
		pins = append(pins, pin)
	}
	if len(pins) == 0 {
		return nil, &Error{Msg: "--pin: it is empty"}
	}
	return pins, nil
}

// credentials fills in who logs in and how.
func (r *resolver) credentials(cr *auth.Credentials) error {
	a := r.account
	given, own := r.endpoint.User, ""
	if !r.given {
		given, own = "", r.endpoint.User
	}
	mech := strings.ToLower(first(r.Auth, a.Auth))
	if err := checkAuth(first(mech, auth.Auto)); err != nil {
		return &Error{Msg: "--auth: " + err.Error()}
	}
	user := first(r.User, given, r.Getenv("MAIL_USER"), own, a.User)
	secrets, err := r.secrets(user)
	if err != nil {
		return err
	}
	if secrets.user != "" {
		user = secrets.user
	}
	if user == "" && (mech == "external" || mech == "anonymous") {
		user = mech // these need no name; this one makes the engines log in
	}
	if user == "" {
		return r.nobody(secrets)
	}
	*cr = auth.Credentials{
		User: user, Password: secrets.password, Token: secrets.token, Mechanism: mech, Authzid: a.Authzid,
		AllowCleartext: r.AllowCleartextPassword || a.AllowCleartextPassword,
	}
	if cr.Password == nil && cr.Token == nil && mech != "external" && mech != "anonymous" {
		cr.Password, err = r.lastResort(user)
	}
	return err
}

// nobody decides about a login without a name: a secret that was given on purpose needs one.
func (r *resolver) nobody(s secrets) error {
	if !s.onPurpose {
		return nil
	}
	return &Error{Msg: "there is a password or token, but no user name", Hint: "give --user NAME, or put it into the URL: " + example(r.proto)}
}

// secrets is what one layer of the configuration says.
type secrets struct {
	password, token auth.Source
	user            string // found in netrc
	onPurpose       bool   // for this server, not by an environment made for another one
}

// secrets asks flags, environment and account in turn; the first that knows any decides.
func (r *resolver) secrets(user string) (secrets, error) {
	s, err := r.flagSecrets()
	if err != nil || s.password != nil || s.token != nil {
		return s, err
	}
	for name, dest := range map[string]*auth.Source{"MAIL_PASSWORD": &s.password, "MAIL_TOKEN": &s.token} {
		if v := r.Getenv(name); v != "" {
			*dest = auth.Literal(v)
		}
	}
	if s.password != nil || s.token != nil {
		return s, nil
	}
	if s.password, err = r.source(r.account.Password, user, &s); err != nil {
		return s, err
	}
	if s.password != nil {
		s.password = auth.Once(s.password) // a token is fetched anew for each login, for it ages
	}
	s.token, err = r.source(r.account.Token, user, &s)
	s.onPurpose = s.password != nil || s.token != nil
	return s, err
}

// flagSecrets reads the flags about secrets.
func (r *resolver) flagSecrets() (secrets, error) {
	var s secrets
	n := 0
	if r.PasswordFile != "" {
		s.password, n = auth.File(r.PasswordFile), n+1
	}
	if r.PasswordFD >= 0 {
		s.password, n = auth.FD(r.PasswordFD), n+1
	}
	if r.PasswordCommand != "" {
		argv, err := SplitWords(r.PasswordCommand)
		if err != nil {
			return s, &Error{Msg: "--password-command: " + err.Error()}
		}
		s.password, n = auth.Once(auth.Command(argv)), n+1
	}
	if n > 1 {
		return s, &Error{Msg: "--password-file, --password-fd and --password-command exclude each other"}
	}
	if r.TokenCommand != "" {
		argv, err := SplitWords(r.TokenCommand)
		if err != nil {
			return s, &Error{Msg: "--token-command: " + err.Error()}
		}
		s.token, n = auth.Command(argv), n+1
	}
	s.onPurpose = n > 0
	return s, nil
}

// source makes an account's source, or nil if there is none.
func (r *resolver) source(c Secret, user string, s *secrets) (auth.Source, error) {
	switch {
	case c.IsZero():
		return nil, nil
	case c.Command != nil:
		return auth.Command(c.Command), nil
	case c.Env != "":
		return r.env(c.Env), nil
	case c.File != "":
		return auth.File(c.File), nil
	case c.UseFD:
		return auth.FD(c.FD), nil
	case c.Prompt:
		return r.prompt(user)
	case c.Netrc:
		login, err := auth.LookupNetrc(auth.NetrcPath("", r.Getenv), r.endpoint.Host, user)
		if err != nil {
			return nil, err
		}
		if user == "" {
			s.user = login.User
		}
		return auth.Literal(login.Password.Reveal()), nil
	}
	return auth.Literal(c.Literal.Reveal()), nil
}

// env reads a variable of the environment that was handed to us.
func (r *resolver) env(name string) auth.Source {
	return func(context.Context) (auth.Secret, error) {
		v := r.Getenv(name)
		if v == "" {
			return auth.Secret{}, &auth.SourceError{Source: "environment variable " + name, Err: errors.New("not set, or empty")}
		}
		return auth.NewSecret(v), nil
	}
}

// prompt asks the user, unless that was forbidden.
func (r *resolver) prompt(user string) (auth.Source, error) {
	who := strings.TrimPrefix(user+"@"+first(r.endpoint.Host, r.endpoint.Path), "@")
	if r.NoInput {
		return nil, &Error{
			Msg:  "there is no password for " + who + ", and --no-input forbids to ask",
			Hint: "configure password = { command = [...] }, or give --password-file, --password-fd, --password-command or MAIL_PASSWORD",
		}
	}
	return auth.Once(auth.Prompt("password for "+plain(who)+": ", r.OpenTTY)), nil
}

// plain drops control characters, which a URL may bring percent-encoded, from what is shown on the terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// lastResort is for a user without a configured password: netrc if it names the server, else the terminal. The default
// entry of netrc does not count, for it is mostly there for FTP servers; `netrc = true` makes it count.
func (r *resolver) lastResort(user string) (auth.Source, error) {
	login, err := auth.LookupNetrc(auth.NetrcPath("", r.Getenv), r.endpoint.Host, user)
	switch {
	case err == nil && !login.Default:
		return auth.Literal(login.Password.Reveal()), nil
	case err != nil && !errors.Is(err, auth.ErrNoNetrcEntry):
		return nil, err
	}
	return r.prompt(user)
}
