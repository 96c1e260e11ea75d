package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mail-toolkit/mail/pkg/config"
)

// accountShowCommand prints the settings of an account.
func (e *env) accountShowCommand() *cli.Command {
	return e.leaf(leaf{
		name:  "show",
		usage: "print the settings of an account as they take effect",
		args:  "[NAME]",
		about: "Prints a line for each setting: its key, its value, and where it comes from: the file, or the environment, which comes " +
			"first. What is not set is left out. Of a password or token it says where it comes from, never what it is; nothing is asked or run.",
		maxArgs: 1,
		offers:  offerAccounts,
		run:     func(_ context.Context, c *call) error { return c.showAccount() },
	})
}

func (c *call) showAccount() error {
	name, err := c.oneAccount()
	if err != nil {
		return err
	}
	f, a, err := c.account(name)
	if err != nil {
		return err
	}
	settings := append([]config.Setting{{Key: "name", Value: a.Name, Origin: "file"}}, a.Effective(c.overrides)...)
	if c.json {
		object := map[string]any{"file": f.Path}
		for _, s := range settings {
			object[camelCase(s.Key)] = jsonSetting(s)
		}
		return c.printJSON(object)
	}
	for _, s := range settings {
		if err := c.row(s.Key, s.Value, s.Origin); err != nil {
			return err
		}
	}
	return nil
}

// jsonSetting is the value of a setting as JSON has it.
func jsonSetting(s config.Setting) any {
	switch s.Key {
	case "allow-cleartext-password":
		return s.Value == "true"
	case "pin":
		return strings.Split(s.Value, ",")
	case "match":
		return strings.Split(s.Value, ", ")
	}
	return s.Value
}

// camelCase turns ca-file into caFile.
func camelCase(key string) string {
	words := strings.Split(key, "-")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}
