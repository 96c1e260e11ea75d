package server

import (
	"slices"
	"strings"

	"github.com/mail-toolkit/mail/pkg/imap/imapwire"
)

// imapCommand is a verb: when it is allowed, which extensions bring it (one of them must be on), and whether EXPUNGE
// responses may come before its tagged response (RFC 9051 §7.5.1).
type imapCommand struct {
	states  imapState
	needs   string
	expunge bool
	run     func(*imapSession, *imapwire.Decoder) error
}

// imapCommands is the table of all verbs.
var imapCommands = map[string]imapCommand{
	"CAPABILITY":   {imapAny, "", true, (*imapSession).capability},
	"NOOP":         {imapAny, "", true, (*imapSession).noop},
	"LOGOUT":       {imapAny, "", false, (*imapSession).logout},
	"ID":           {imapAny, "ID", true, (*imapSession).id},
	"STARTTLS":     {imapNew, "STARTTLS", false, (*imapSession).startTLS},
	"LOGIN":        {imapNew, "", false, (*imapSession).login},
	"AUTHENTICATE": {imapNew, "", false, (*imapSession).authenticate},

	"ENABLE":       {imapLoggedIn, "ENABLE", true, (*imapSession).enable},
	"NAMESPACE":    {imapLoggedIn, "NAMESPACE", true, (*imapSession).namespace},
	"LIST":         {imapLoggedIn, "", true, (*imapSession).list},
	"LSUB":         {imapLoggedIn, "", true, (*imapSession).lsub},
	"CREATE":       {imapLoggedIn, "", true, (*imapSession).create},
	"DELETE":       {imapLoggedIn, "", true, (*imapSession).deleteMailbox},
	"RENAME":       {imapLoggedIn, "", true, (*imapSession).rename},
	"SUBSCRIBE":    {imapLoggedIn, "", true, (*imapSession).subscribe},
	"UNSUBSCRIBE":  {imapLoggedIn, "", true, (*imapSession).unsubscribe},
	"STATUS":       {imapLoggedIn, "", true, (*imapSession).status},
	"APPEND":       {imapLoggedIn, "", true, (*imapSession).append},
	"SELECT":       {imapLoggedIn, "", false, (*imapSession).selectMailbox},
	"EXAMINE":      {imapLoggedIn, "", false, (*imapSession).selectMailbox},
	"IDLE":         {imapLoggedIn, "IDLE", true, (*imapSession).idle},
	"GETQUOTA":     {imapLoggedIn, "QUOTA", true, (*imapSession).getQuota},
	"GETQUOTAROOT": {imapLoggedIn, "QUOTA", true, (*imapSession).getQuotaRoot},
	"COMPRESS":     {imapLoggedIn, "COMPRESS=DEFLATE", false, (*imapSession).compress},
	"SETQUOTA":     {imapLoggedIn, "QUOTA", true, (*imapSession).setQuota},

	"CHECK":       {imapSelected, "", true, (*imapSession).noop},
	"CLOSE":       {imapSelected, "", false, (*imapSession).closeMailbox},
	"UNSELECT":    {imapSelected, "UNSELECT", false, (*imapSession).unselect},
	"EXPUNGE":     {imapSelected, "", true, (*imapSession).expunge},
	"UID EXPUNGE": {imapSelected, "UIDPLUS", true, (*imapSession).expunge},
	"FETCH":       {imapSelected, "", false, (*imapSession).fetch},
	"UID FETCH":   {imapSelected, "", true, (*imapSession).fetch},
	"STORE":       {imapSelected, "", false, (*imapSession).store},
	"UID STORE":   {imapSelected, "", true, (*imapSession).store},
	"COPY":        {imapSelected, "", true, (*imapSession).copyMessages},
	"UID COPY":    {imapSelected, "", true, (*imapSession).copyMessages},
	"MOVE":        {imapSelected, "MOVE", true, (*imapSession).moveMessages},
	"UID MOVE":    {imapSelected, "MOVE", true, (*imapSession).moveMessages},
	"SEARCH":      {imapSelected, "", false, (*imapSession).search},
	"UID SEARCH":  {imapSelected, "", true, (*imapSession).search},
	"SORT":        {imapSelected, "SORT", false, (*imapSession).sort},
	"UID SORT":    {imapSelected, "SORT", true, (*imapSession).sort},
	"THREAD":      {imapSelected, "THREAD=REFERENCES THREAD=ORDEREDSUBJECT", false, (*imapSession).thread},
	"UID THREAD":  {imapSelected, "THREAD=REFERENCES THREAD=ORDEREDSUBJECT", true, (*imapSession).thread},
}

// noop answers NOOP and CHECK (RFC 9051 §6.1.2): what is new is told behind every command.
func (s *imapSession) noop(d *imapwire.Decoder) error { return s.finish(d) }

// logout answers LOGOUT (RFC 9051 §6.1.3).
func (s *imapSession) logout(d *imapwire.Decoder) error {
	if err := s.finish(d); err != nil {
		return err
	}
	if err := s.line("* BYE logging out"); err != nil {
		return err
	}
	s.deselect()
	s.state = imapGone
	return nil
}

// The sizes of ID (RFC 2971 §3.3).
const (
	imapIDFields = 30
	imapIDName   = 30
	imapIDValue  = 1024
)

// id answers ID (RFC 2971). What the client says of itself is read and not kept.
func (s *imapSession) id(d *imapwire.Decoder) error {
	d.SP()
	if !d.Nil() {
		for n, ok := 0, d.OpenList(); ok && d.More(n); n++ {
			name := d.String()
			d.SP()
			value, _ := d.NString()
			if n >= imapIDFields || len(name) > imapIDName || len(value) > imapIDValue {
				return imapBad("", "too many fields, or one that is too long")
			}
		}
	}
	if err := s.finish(d); err != nil {
		return err
	}
	return s.untagged(`ID ("name" "mail" "vendor" "mail-toolkit")`)
}

// enable answers ENABLE (RFC 5161).
func (s *imapSession) enable(d *imapwire.Decoder) error {
	var names []string
	for d.SP(); d.Err() == nil; d.SP() {
		names = append(names, d.Keyword())
		if d.AtEnd() {
			break
		}
	}
	if err := s.finish(d); err != nil {
		return err
	}
	var on []string
	for _, name := range names {
		switch name {
		case "IMAP4REV2", "UTF8=ACCEPT", "CONDSTORE", "QRESYNC":
			if s.has(name) && !s.enabled[name] && !slices.Contains(on, name) {
				on = append(on, name)
			}
		}
	}
	if err := s.line(strings.Join(append([]string{"* ENABLED"}, on...), " ")); err != nil {
		return err
	}
	for _, name := range on {
		if name == "CONDSTORE" || name == "QRESYNC" {
			if err := s.condstore(); err != nil {
				return err
			}
		}
		s.enabled[name] = true
	}
	return nil
}
