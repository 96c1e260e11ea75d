package server

import (
	"crypto/subtle"
	"errors"
	"strings"

	"github.com/mail-toolkit/mail/pkg/auth"
)

// errRelay is a recipient in a domain that is not ours.
var errRelay = errors.New("relaying is not allowed")

// lookup finds a user by the name given at login: the user's name, or its local part or whole address where the domain
// is one of ours. It returns nil when there is none.
func (srv *Server) lookup(name string) *User {
	for i := range srv.options.Users {
		if srv.options.Users[i].Name == name {
			return &srv.options.Users[i]
		}
	}
	local, domain, whole := cutAddress(name)
	if whole && !srv.localDomain(domain) {
		return nil
	}
	for i := range srv.options.Users {
		u := &srv.options.Users[i]
		l, d, full := cutAddress(u.Name)
		if strings.EqualFold(l, local) && (!whole || !full || strings.EqualFold(d, domain)) {
			return u
		}
	}
	return nil
}

// named finds the user whom an address names: the one called so, else the one before a "+". It returns nil when there
// is none.
func (srv *Server) named(addr string) *User {
	if u := srv.lookup(addr); u != nil {
		return u
	}
	local, domain, whole := cutAddress(addr)
	base, _, ok := strings.Cut(local, "+")
	if !ok {
		return nil
	}
	if whole {
		base += "@" + domain
	}
	return srv.lookup(base)
}

// recipient finds who gets a message for addr: the user it names, else the first one. It fails with errRelay when the
// domain is somebody else's.
func (srv *Server) recipient(addr string) (*User, error) {
	if u := srv.named(addr); u != nil {
		return u, nil
	}
	if _, domain, whole := cutAddress(addr); whole && !srv.localDomain(domain) {
		return nil, errRelay
	}
	return &srv.options.Users[0], nil
}

// localDomain reports whether mail for the domain is ours.
func (srv *Server) localDomain(domain string) bool {
	if len(srv.options.Domains) == 0 {
		return true
	}
	for _, d := range srv.options.Domains {
		if strings.EqualFold(d, domain) {
			return true
		}
	}
	return false
}

// cutAddress cuts at the last "@" and takes the quotes off a quoted local part.
func cutAddress(addr string) (local, domain string, whole bool) {
	local = addr
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		local, domain, whole = addr[:i], addr[i+1:], true
	}
	if len(local) >= 2 && local[0] == '"' && local[len(local)-1] == '"' {
		local = unquote(local[1 : len(local)-1])
	}
	return local, domain, whole
}

// unquote takes the backslashes of a quoted string off.
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// verifier is what package auth has to know of the users.
func (srv *Server) verifier() auth.Verifier {
	return auth.Verifier{
		Keys: srv.keys,
		Password: func(name string) (string, bool) {
			u := srv.lookup(name)
			if u == nil || u.Password == "" {
				return "", false
			}
			return u.Password, true
		},
		Token: func(name, token string) bool {
			u := srv.lookup(name)
			return u != nil && u.Token != "" && subtle.ConstantTimeCompare([]byte(u.Token), []byte(token)) == 1
		},
	}
}
