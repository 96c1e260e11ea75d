package wire

import (
	"bytes"
	"fmt"
)

// TraceKind says what a piece of the trace is.
type TraceKind int

// The kinds, from the least to the most talkative.
const (
	TraceNote    TraceKind = iota // connected, TLS version, closed
	TraceCommand                  // a line from us
	TraceReply                    // a line from the server
	TraceData                     // octets of a message, in either direction
)

// TraceFunc receives the conversation. text has no line end, secrets are blanked already, and it is valid during the
// call only. It may hold control characters: whoever prints it escapes them.
type TraceFunc func(kind TraceKind, text []byte)

const (
	hiddenText = "[hidden]"
	secretText = "[secret]"
)

// HideReplies makes the trace show "[hidden]" for the server's lines while on: for SASL challenges.
func (c *Conn) HideReplies(on bool) { c.hideIn = on }

// HideCommands makes the trace show "[secret]" for what is written while on: for the arguments of IMAP LOGIN.
func (c *Conn) HideCommands(on bool) {
	if on && !c.hideOut && c.config.Trace != nil {
		c.tline = append(c.tline, secretText...)
	}
	c.hideOut = on
}

// Note puts a remark into the trace.
func (c *Conn) Note(format string, args ...any) {
	if c.config.Trace != nil {
		c.config.Trace(TraceNote, fmt.Appendf(nil, format, args...))
	}
}

func (c *Conn) traceIn(line []byte) {
	if c.config.Trace == nil {
		return
	}
	if c.hideIn {
		line = []byte(hiddenText)
	}
	c.config.Trace(TraceReply, line)
}

// traceOut gathers what is written into lines.
func (c *Conn) traceOut(p []byte) {
	if c.config.Trace == nil {
		return
	}
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		c.showOut(p[:i])
		c.config.Trace(TraceCommand, bytes.TrimSuffix(c.tline, []byte{'\r'}))
		c.tline = c.tline[:0]
		p = p[i+1:]
	}
	c.showOut(p)
}

func (c *Conn) showOut(p []byte) {
	if !c.hideOut && len(c.tline) < bufferSize {
		c.tline = append(c.tline, p...)
	}
}

func (c *Conn) traceData(p []byte) {
	if c.config.Trace != nil && len(p) > 0 {
		c.config.Trace(TraceData, bytes.TrimSuffix(p, []byte("\r\n")))
	}
}
