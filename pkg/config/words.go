package config

import (
	"errors"
	"fmt"
	"strings"
)

// SplitWords cuts a command given by flag into words: blanks separate, '…' and "…" group, a backslash takes the next
// character as it is. It is not a shell: what only a shell could do is an error instead of a surprise.
func SplitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			inWord, escaped = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			inWord, quote = true, r
		case r == ' ' || r == '\t' || r == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
		case strings.ContainsRune("|&;<>()$`", r):
			return nil, fmt.Errorf("%q needs a shell: write sh -c '…'", r)
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	switch {
	case quote != 0 || escaped:
		return nil, errors.New("a quote is not closed")
	case inWord:
		words = append(words, word.String())
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("it is empty")
	}
	words[0] = expandHome(words[0])
	return words, nil
}
