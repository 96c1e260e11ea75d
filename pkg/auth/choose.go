package auth

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// preference lists what "auto" may choose, strongest first. EXTERNAL and ANONYMOUS are used only when named.
var preference = []string{
	OAuthBearer, XOAuth2, ScramSHA256Plus, ScramSHA256, ScramSHA1Plus, ScramSHA1, CramMD5, Plain, Login,
}

// overTLS is preference where TLS has proved who the server is. Then SCRAM that is not bound to the channel adds two
// round trips and little else: the server that would see the password is the one that keeps it, in one form or another.
var overTLS = []string{
	OAuthBearer, XOAuth2, ScramSHA256Plus, Plain, ScramSHA256, ScramSHA1Plus, ScramSHA1, CramMD5, Login,
}

// Choose picks a mechanism out of those the server offers and makes it ready, fetching the secret it needs.
// With Credentials.Mechanism "" or Auto it is OAUTHBEARER or XOAUTH2 when there is a token. With a password it is the
// strongest one, SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS, SCRAM-SHA-1, CRAM-MD5, PLAIN, LOGIN; under TLS
// PLAIN, which takes one round trip, comes second.
// A mechanism that is named is used or nothing is. Errors are *Error (wrapping ErrNoMechanism or ErrCleartext),
// *SourceError, or the context's.
func Choose(ctx context.Context, offered []string, cr *Credentials, ch Channel) (Mechanism, error) {
	has := make(map[string]bool, len(offered))
	for _, name := range offered {
		has[strings.ToUpper(name)] = true
	}
	name, refused := pick(has, cr, ch)
	if refused != nil {
		return nil, withOffer(refused, offered)
	}
	m, err := build(ctx, name, has, cr, ch)
	if err == nil && cr.Chosen != nil {
		cr.Chosen(name)
	}
	return m, err
}

// pick returns the name of the mechanism to use.
func pick(has map[string]bool, cr *Credentials, ch Channel) (string, *Error) {
	if !cr.auto() {
		return pickNamed(strings.ToUpper(cr.Mechanism), has, cr, ch)
	}
	order := preference
	if ch.TLS != nil {
		order = overTLS
	}
	var refused *Error
	for _, name := range order {
		if !has[name] || !cr.canDo(name) || isPlus(name) && !channelBinding(ch.TLS).IsSupported() {
			continue
		}
		if err := mayUse(name, cr, ch); err != nil {
			refused = err
			continue
		}
		return name, nil
	}
	if refused != nil {
		return "", refused
	}
	if cr.Authzid != "" {
		return "", errNobodyElse("")
	}
	e := &Error{Text: "the server offers nothing we can use", Err: ErrNoMechanism}
	if cr.Password == nil && cr.Token == nil {
		e.Text, e.Hint = "there is no password and no token", "give one by password or token in the configuration, --password-command, or MAIL_PASSWORD"
	}
	return "", e
}

// pickNamed checks that the mechanism the user asked for can be used.
func pickNamed(name string, has map[string]bool, cr *Credentials, ch Channel) (string, *Error) {
	known := name == External || name == Anonymous || slices.Contains(preference, name)
	switch {
	case !known:
		return "", &Error{Mechanism: name, Text: "this is not a mechanism for this server", Err: ErrNoMechanism}
	case !has[name]:
		return "", &Error{Mechanism: name, Text: "the server does not offer it", Err: ErrNoMechanism}
	case isPlus(name) && !channelBinding(ch.TLS).IsSupported():
		return "", &Error{Mechanism: name, Text: "the connection offers nothing to bind to", Err: ErrNoMechanism}
	case cr.Authzid != "" && !actsAs(name):
		return "", errNobodyElse(name)
	}
	if err := mayUse(name, cr, ch); err != nil {
		return "", err
	}
	return name, nil
}

// withOffer adds the server's offer to the error that no mechanism fits.
func withOffer(e *Error, offered []string) *Error {
	if e.Err == ErrNoMechanism && e.Hint == "" {
		if len(offered) == 0 {
			e.Hint = "the server offers no mechanism at all on this connection"
		} else {
			e.Hint = "the server offers " + clean(strings.Join(offered, " "))
		}
	}
	return e
}

// auto reports whether the choice is ours.
func (cr *Credentials) auto() bool {
	return cr.Mechanism == "" || strings.EqualFold(cr.Mechanism, Auto)
}

// canDo reports whether there is a source for the secret that name needs, and whether it can act as Authzid.
func (cr *Credentials) canDo(name string) bool {
	if cr.Authzid != "" && !actsAs(name) {
		return false
	}
	if isOAuth(name) {
		return cr.Token != nil
	}
	return cr.Password != nil
}

func isPlus(name string) bool  { return strings.HasSuffix(name, "-PLUS") }
func isOAuth(name string) bool { return name == OAuthBearer || name == XOAuth2 }

// mayUse refuses mechanisms that show the secret to whoever listens, unless nobody can or the user said so.
func mayUse(name string, cr *Credentials, ch Channel) *Error {
	if name != Plain && name != Login && !isOAuth(name) {
		return nil
	}
	return cleartext(name, cr, ch)
}

// CleartextAllowed says whether a secret may travel as it is over ch: under TLS, to this machine, or when the user
// allowed it. The error is an *Error that wraps ErrCleartext. The engines ask it before USER and PASS, and LOGIN.
func CleartextAllowed(ch Channel, cr *Credentials) error {
	if err := cleartext("", cr, ch); err != nil {
		return err
	}
	return nil
}

func cleartext(name string, cr *Credentials, ch Channel) *Error {
	if ch.TLS != nil || ch.Loopback || cr.AllowCleartext {
		return nil
	}
	return &Error{
		Mechanism: name, Err: ErrCleartext,
		Text: "connection is not encrypted, so the password is not sent",
		Hint: "use a TLS scheme such as " + secureScheme(ch.Protocol) + ", or allow-cleartext-password = true if the network is trusted",
	}
}

// secureScheme returns the URL scheme with TLS for a protocol.
func secureScheme(protocol string) string {
	switch protocol {
	case "smtp", "imap", "pop3":
		return protocol + "s://"
	}
	return "imaps://"
}

// Secret returns the password, checked: not empty, no NUL, and a user name without NUL. The engines use it for
// commands that carry the password themselves; with an Authzid it refuses. The errors are *Error and *SourceError.
func (cr *Credentials) Secret(ctx context.Context) (Secret, error) {
	if cr.Authzid != "" {
		return Secret{}, errNobodyElse("")
	}
	return fetch(ctx, cr, cr.Password, "password")
}

// actsAs reports whether the mechanism can carry an authorization identity.
func actsAs(name string) bool { return name != CramMD5 && name != Login && name != Anonymous }

// errNobodyElse is for a login that would open the account of the user instead of the one that was asked for.
func errNobodyElse(name string) *Error {
	return &Error{Mechanism: name, Text: "there is no way to log in as one user and act as another",
		Hint: "PLAIN, SCRAM, EXTERNAL, OAUTHBEARER and XOAUTH2 are ways, where the server offers them"}
}

// bearer returns the token. A password stands in where a token mechanism was asked for by name.
func (cr *Credentials) bearer(ctx context.Context) (Secret, error) {
	src := cr.Token
	if src == nil && !cr.auto() {
		src = cr.Password
	}
	tok, err := fetch(ctx, cr, src, "token")
	if err != nil {
		return Secret{}, err
	}
	for _, b := range []byte(tok.Reveal() + cr.User + cr.Authzid) {
		if b < ' ' || b == 0x7f {
			return Secret{}, &Error{Text: "the token or the user name has a control character in it"}
		}
	}
	if strings.Contains(tok.Reveal(), " ") {
		return Secret{}, &Error{Text: "the token has a space in it", Hint: "the token command must print the access token and nothing else"}
	}
	return tok, nil
}

// fetch asks the source and checks what it gave.
func fetch(ctx context.Context, cr *Credentials, src Source, what string) (Secret, error) {
	if src == nil {
		return Secret{}, &Error{Text: "there is no " + what, Hint: "give one by " + what + " in the configuration or --" + what + "-command"}
	}
	s, err := src(ctx)
	switch {
	case err != nil:
		return Secret{}, err
	case s.IsZero():
		return Secret{}, &Error{Text: "the " + what + " is empty"}
	case strings.Contains(s.Reveal(), "\x00"):
		return Secret{}, &Error{Text: "the " + what + " has a NUL in it"}
	}
	return s, cr.checkNames()
}

// checkNames refuses NUL in the names: it is what separates them in PLAIN.
func (cr *Credentials) checkNames() error {
	if strings.Contains(cr.User+cr.Authzid, "\x00") {
		return &Error{Text: "the user name has a NUL in it"}
	}
	return nil
}

// build makes the mechanism called name.
func build(ctx context.Context, name string, has map[string]bool, cr *Credentials, ch Channel) (Mechanism, error) {
	switch name {
	case External, Anonymous:
		if err := cr.checkNames(); err != nil {
			return nil, err
		}
		if name == External {
			return newExternal(cr.Authzid), nil
		}
		return newAnonymous(cr.User), nil
	case OAuthBearer, XOAuth2:
		token, err := cr.bearer(ctx)
		if err != nil {
			return nil, err
		}
		user := cmp.Or(cr.Authzid, cr.User) // the token says who logs in
		if name == XOAuth2 {
			return newXOAuth2(user, token), nil
		}
		return newOAuthBearer(user, token, ch), nil
	}
	password, err := fetch(ctx, cr, cr.Password, "password")
	if err != nil {
		return nil, err
	}
	switch name {
	case CramMD5:
		return newCramMD5(cr.User, password), nil
	case Plain:
		return newPlain(cr.Authzid, cr.User, password), nil
	case Login:
		return newLogin(cr.User, password), nil
	}
	o := scramOptions{name: name, authzid: cr.Authzid, user: cr.User, password: password}
	if cb := channelBinding(ch.TLS); isPlus(name) {
		o.binding = cb
	} else {
		o.couldBind = cb.IsSupported() && !has[ScramSHA256Plus] && !has[ScramSHA1Plus]
	}
	return newScram(o)
}
