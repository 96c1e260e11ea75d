package main

import (
	"io"

	"github.com/mail-toolkit/mail/pkg/message"
	"github.com/mail-toolkit/mail/pkg/mimetree"
	"github.com/mail-toolkit/mail/pkg/smtp"
)

// fitted is a message in the form that suits a server.
type fitted struct {
	envelope *smtp.Envelope
	open     func() (io.Reader, error)
}

// measure learns the size and the octets of a message in the form that every server takes, or for one that was not
// composed here, as it is.
func (m *outgoing) measure() error {
	m.envelope.Body = smtp.Body7Bit
	if m.packed != nil {
		r, err := m.packed.As(mimetree.SevenBit)
		if err != nil {
			return err
		}
		m.facts.Size = r.Size()
	} else {
		r, err := m.wire()
		if err != nil {
			return err
		}
		if m.facts, err = message.Scan(r); err != nil {
			return err
		}
		if m.facts.EightBit {
			m.envelope.Body = smtp.Body8Bit
		}
	}
	m.envelope.Size = m.facts.Size
	return nil
}

// fit gives the message the form that suits the server best: what was composed here goes as it is to a server that
// takes any octets, and what needs 8BITMIME is converted for one that lacks it (RFC 6152 §3).
func (m *outgoing) fit(client *smtp.Client, noChunking bool) (*fitted, error) {
	has := func(extension string) bool { _, ok := client.Extension(extension); return ok }
	target := mimetree.SevenBit
	switch {
	case has("BINARYMIME") && has("CHUNKING") && !noChunking:
		target = mimetree.Binary
	case has("8BITMIME"):
		target = mimetree.EightBit
	}
	var r *mimetree.Rendering
	var err error
	switch {
	case m.packed != nil:
		r, err = m.packed.As(target)
	case m.facts.EightBit && target == mimetree.SevenBit && !m.envelope.UTF8:
		r, err = mimetree.Downgrade(func() (io.ReadCloser, error) {
			wire, err := m.wire()
			return io.NopCloser(wire), err
		})
	default:
		return &fitted{m.envelope, m.wire}, nil
	}
	if err != nil {
		return nil, err
	}
	env := *m.envelope
	env.Size = r.Size()
	env.Body = map[mimetree.Encoding]smtp.BodyType{mimetree.SevenBit: smtp.Body7Bit, mimetree.EightBit: smtp.Body8Bit,
		mimetree.Binary: smtp.BodyBinary}[r.Needs()]
	return &fitted{&env, func() (io.Reader, error) { return r.Open(), nil }}, nil
}

// lazyReader opens a message when it is first read, and closes it at its end.
type lazyReader struct {
	open func() (io.Reader, error)
	r    io.Reader
}

func (l *lazyReader) Read(p []byte) (int, error) {
	if l.r == nil {
		r, err := l.open()
		if err != nil {
			return 0, err
		}
		l.r = r
	}
	n, err := l.r.Read(p)
	if err != nil {
		l.close()
	}
	return n, err
}

// close ends the reading of a message that was not read to its end.
func (l *lazyReader) close() {
	if c, ok := l.r.(io.Closer); ok {
		_ = c.Close()
	}
}
