// Package wiretest is a scripted peer for tests of line protocols: it plays the
// server's half of an SMTP, POP3 or IMAP conversation from a text, and fails the
// test when the client's half differs from it.
//
//	addr := wiretest.Serve(t, `
//		S: 220 mx.example.org ESMTP
//		C: EHLO *
//		S: 250-mx.example.org
//		S: 250 STARTTLS
//		C: STARTTLS
//		S: 220 go ahead
//		TLS
//		C: EHLO *
//		S: 250 mx.example.org
//		C? QUIT
//	`)
//
// It is for tests only and knows no protocol: it can therefore lie in every way a
// hostile or broken server can. It does not import the package it tests. [Cut] is for
// real servers: it ends a connection to one anywhere.
//
// # The script
//
// One step a line; leading white space and empty lines do not count; a line that
// begins with # is a comment. Every step has to finish within the time-out (60 s,
// see [Timeout]).
//
// Sending:
//
//	S: text         sends text and CRLF, in one write
//	S> "raw"        sends exactly the bytes of the Go string literal, in one write
//	SEND name       sends the bytes of a variable (see Var), in one write
//	SPLIT n         following sends go out n bytes a write; 0 ends this
//	FLOOD "raw"     sends the bytes over and over until the client closes
//
// Receiving:
//
//	C: pattern      the client must send this line, ended by CRLF
//	C? pattern      the same, but the client may close instead
//	C> "raw"        the client must send exactly these bytes
//	C{n} ["raw"]    n octets follow; n may be a variable, as in C{$size}
//	C.              an SMTP body up to CRLF.CRLF; a bare CR or LF in it is an error
//	QUIET 50ms      the client must send nothing for that long
//	EOF             the client must close, without sending more
//	HANG            waits until the client closes; what it sends is thrown away
//
// Connection:
//
//	TLS [cert]      server handshake, with the test CA's certificate of that name:
//	                good (default), wildcard, ip-only, expired, not-yet-valid,
//	                wrong-name, common-name, self-signed
//	TLSFAIL [cert]  the same, but the client must refuse the handshake
//	HALFCLOSE       ends our direction; reading goes on
//	CLOSE           closes the connection in order (under TLS with its close message)
//	CUT             closes the TCP connection without the TLS close message
//	RESET           resets the TCP connection (RST)
//	SLEEP 50ms      waits
//	CONN            ends this connection's script; the next connection plays what follows
//	OPT name value  the options of this package, in the script: cert NAME,
//	                tls-min 1.2, tls-max 1.3, timeout 2s, implicit-tls, repeat
//
// At the end of a script that does not close by itself the client must close: EOF is
// implied. It may close before it has read everything, unless it has to send
// something more. Connections are given their scripts in the order in which they are
// accepted and may overlap; one connection too few or too many fails the test.
//
// # Patterns and variables
//
// In C: and C? lines, * stands for any run of bytes, even an empty one; \* is a real
// asterisk. $name, a letter followed by letters and digits, stands for a run of one
// or more bytes other than a space and keeps what it met; ${name} stands for what
// the variable holds already. \$ is a real dollar sign.
//
// In S: lines, $name and ${name} both stand for the value. So an IMAP tag is:
//
//	C: $tag NOOP
//	S: $tag OK done
//
// and with two commands in flight:
//
//	C: $A1 NOOP
//	C: $A2 CHECK
//	S: $A2 OK check done
//	S: $A1 OK noop done
//
// Both kinds of line know ${rep:N:text}, text N times over, and ${b64:text}, the
// base64 form of text, in which Go's escapes such as \x00 count. A variable that is
// sent before anything was kept in it is an error of the script.
package wiretest
