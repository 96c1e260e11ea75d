package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
)

type mimeHeadersOptions struct {
	raw  bool
	part string
	file string
}

// mimeHeadersCommand is `mail mime headers`.
func (e *env) mimeHeadersCommand() *cli.Command {
	var o mimeHeadersOptions
	return e.leaf(leaf{
		name:  "headers",
		usage: "print the header of a message, decoded",
		about: "Prints the fields of the header, one line each, unfolded and with encoded words turned into text. With NAMEs only those " +
			"fields, in the order of the header; with one NAME the values alone. When no field has one of the names the status is 1. " +
			"With --json the fields of addresses, dates, message identifiers and MIME parameters have what was read from them, too.\n\n" +
			mimeInputHelp,
		args:    "[NAME…]",
		maxArgs: -1,
		exits:   []int{exitNo},
		flags: []cli.Flag{
			&cli.StringFlag{Name: "file", Usage: "read the message from `FILE`", Destination: &o.file},
			&cli.StringFlag{Name: "part", Usage: "print the header of `PART`: 2 for the MIME header of part 2", Destination: &o.part},
			&cli.BoolFlag{Name: "raw", Usage: "print the fields as they stand", Destination: &o.raw},
		},
		run: func(ctx context.Context, c *call) error { return c.mimeHeaders(ctx, o) },
	})
}

func (c *call) mimeHeaders(ctx context.Context, o mimeHeadersOptions) error {
	if o.raw && c.json {
		return usagef("--raw and --json exclude each other")
	}
	for _, name := range c.args {
		if err := message.CheckFieldName(name); err != nil {
			return usagef("%q is not the name of a field", name)
		}
	}
	id := ""
	if o.part != "" {
		var err error
		if id, err = partID(o.part); err != nil {
			return err
		}
	}
	found, printed := false, false
	err := c.eachMessage(ctx, o.file, func(r io.Reader) error {
		return mimetree.Walk(r, &mimetree.WalkOptions{OpenEncoded: true}, func(p *mimetree.Part, _ *mimetree.Body) error {
			if id != "" && p.ID != id {
				return nil
			}
			found = true
			some, err := c.printHeader(p.Header, o)
			printed = printed || some
			if err != nil {
				return err
			}
			return mimetree.ErrStop
		})
	})
	switch {
	case err != nil:
		return err
	case !found && id != "":
		return errNoPart(id)
	case !printed && len(c.args) > 0:
		return silent(exitNo)
	}
	return nil
}

// headerField is a field in --json output, as in JMAP (RFC 8621 §4.1.3), with what its value says (§4.1.2) when it can be read.
type headerField struct {
	Name       string            `json:"name"`
	Value      string            `json:"value"`
	Addresses  []popAddress      `json:"addresses,omitempty"`
	Date       string            `json:"date,omitempty"`       // RFC 3339
	MessageIDs []string          `json:"messageIds,omitempty"` // without angle brackets
	Type       string            `json:"type,omitempty"`       // media type or disposition
	Params     map[string]string `json:"params,omitempty"`
}

// newHeaderField reads what a field says.
func newHeaderField(f message.Field, decoded string) headerField {
	o := headerField{Name: valid(f.Name), Value: decoded}
	value := f.Value()
	switch strings.TrimPrefix(strings.ToLower(f.Name), "resent-") {
	case "from", "sender", "reply-to", "to", "cc", "bcc":
		list, err := message.ParseAddressList(value)
		if err != nil {
			break
		}
		for _, a := range list {
			o.Addresses = append(o.Addresses, popAddress{Name: valid(a.Name), Email: valid(a.Addr)})
		}
	case "date":
		if t, err := message.ParseDate(value); err == nil {
			o.Date = t.Format(time.RFC3339)
		}
	case "message-id", "in-reply-to", "references", "content-id":
		for _, id := range bracketed.FindAllStringSubmatch(valid(value), -1) {
			o.MessageIDs = append(o.MessageIDs, id[1])
		}
	case "content-type":
		var params mimetree.Params
		o.Type, params, _ = mimetree.ParseMediaType(value)
		o.Params = paramsObject(params)
	case "content-disposition":
		var params mimetree.Params
		o.Type, params, _ = mimetree.ParseDisposition(value)
		o.Params = paramsObject(params)
	}
	return o
}

var bracketed = regexp.MustCompile(`<([^<>]*)>`)

func paramsObject(params mimetree.Params) map[string]string {
	o := make(map[string]string, len(params))
	for _, p := range params {
		o[valid(p.Name)] = valid(p.Value)
	}
	return o
}

// printHeader prints the fields that were asked for; some tells if there were any.
func (c *call) printHeader(h *message.Header, o mimeHeadersOptions) (some bool, err error) {
	object := struct {
		Headers []headerField `json:"headers"`
	}{[]headerField{}}
	for _, f := range h.Fields {
		if !c.wantsField(f) {
			continue
		}
		some = true
		switch value := message.DecodeWords(f.Value()); {
		case o.raw:
			_, err = c.stdout.Write(endLine(f.Raw))
		case c.json:
			object.Headers = append(object.Headers, newHeaderField(f, value))
		case len(c.args) == 1:
			_, err = fmt.Fprintln(c.stdout, escapeText(value))
		default:
			_, err = fmt.Fprintf(c.stdout, "%s: %s\n", escapeText(f.Name), escapeText(value))
		}
		if err != nil {
			return some, err
		}
	}
	if c.json {
		err = c.printJSON(object)
	}
	return some, err
}

// wantsField tells if a field was asked for. Lines that are no fields are not.
func (c *call) wantsField(f message.Field) bool {
	return f.Name != "" && (len(c.args) == 0 ||
		slices.ContainsFunc(c.args, func(name string) bool { return strings.EqualFold(name, f.Name) }))
}

// endLine adds the line end that the last line of a file may lack.
func endLine(raw []byte) []byte {
	if len(raw) > 0 && raw[len(raw)-1] != '\n' {
		return append(slices.Clone(raw), '\n')
	}
	return raw
}
