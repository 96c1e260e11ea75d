package auth

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// OpenTTY opens the terminal the user sits at, whatever stdin and stdout are connected to.
func OpenTTY() (io.ReadWriteCloser, error) {
	name := "/dev/tty"
	if os.PathSeparator == '\\' {
		name = "CONIN$"
	}
	return os.OpenFile(name, os.O_RDWR, 0)
}

// Prompt shows text on the terminal that open returns and reads a line without echo. The terminal is closed again. A
// nil open means OpenTTY. Control-C and Control-D give up with a *SourceError.
func Prompt(text string, open func() (io.ReadWriteCloser, error)) Source {
	if open == nil {
		open = OpenTTY
	}
	return func(ctx context.Context) (Secret, error) {
		if err := ctx.Err(); err != nil {
			return Secret{}, err
		}
		tty, err := open()
		if err != nil {
			return Secret{}, &SourceError{
				Source: "terminal", Err: errors.New("there is none to ask on"),
				Advice: "configure password = { command = [...] }, or give --password-file, --password-fd, --password-command or MAIL_PASSWORD",
			}
		}
		defer tty.Close()
		line, err := ask(ctx, tty, text)
		switch {
		case ctx.Err() != nil:
			return Secret{}, ctx.Err()
		case errors.Is(err, io.EOF):
			return Secret{}, &SourceError{Source: "terminal", Err: errors.New("nothing was typed")}
		case err != nil:
			return Secret{}, &SourceError{Source: "terminal", Err: plainPathError(err)}
		case line == "":
			return Secret{}, &SourceError{Source: "terminal", Err: errors.New("nothing was typed")}
		}
		return NewSecret(line), nil
	}
}

// ask reads one line from tty. What is not a terminal, as in tests, is read as it is.
func ask(ctx context.Context, tty io.ReadWriteCloser, text string) (string, error) {
	f, isFile := tty.(*os.File)
	if !isFile || !isTerminal(f) {
		if _, err := io.WriteString(tty, text); err != nil {
			return "", err
		}
		line, err := bufio.NewReader(io.LimitReader(tty, maxSecret)).ReadString('\n')
		if err == io.EOF && line != "" {
			err = nil
		}
		return strings.TrimRight(line, "\r\n"), err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	return askHidden(f, text)
}

// askHidden reads a line from a terminal without showing it. The terminal is in raw mode meanwhile, so Control-C comes
// as a character and not as a signal, and the mode is restored in every case.
func askHidden(f *os.File, text string) (line string, err error) {
	var state *term.State
	if err := onFD(f, func(fd int) (err error) { state, err = term.MakeRaw(fd); return err }); err != nil {
		return "", err
	}
	defer func() { _ = onFD(f, func(fd int) error { return term.Restore(fd, state) }) }()
	t := term.NewTerminal(f, "")
	line, err = t.ReadPassword(text)
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	return line, err
}

// isTerminal reports whether f is one.
func isTerminal(f *os.File) bool {
	yes := false
	_ = onFD(f, func(fd int) error { yes = term.IsTerminal(fd); return nil })
	return yes
}

// onFD runs fn with f's descriptor and leaves f non-blocking, so that a deadline can interrupt a read.
func onFD(f *os.File, fn func(fd int) error) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := rc.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}
