package imap

import "strconv"

// windows cuts a set into sets for one command each: short enough to be sent
// and, where the server has a limit, of no more messages than that (MESSAGELIMIT,
// RFC 9738). There, what is in a long or open set is asked for first.
func (c *Client) windows(set UIDSet) ([]UIDSet, error) {
	limit := c.messageLimit()
	if limit == 0 || (!set.Dynamic() && set.Count() <= limit) {
		return set.Split(maxSetText), nil
	}
	there, err := c.searchUIDs([]SearchKey{SearchUIDs(set)})
	if err != nil {
		return nil, err
	}
	var parts []UIDSet
	for _, part := range there.SplitCount(limit) {
		parts = append(parts, part.Split(maxSetText)...)
	}
	return parts, nil
}

// eachWindow runs a command for each of the sets that windows gives, one after the
// other, up to the first error.
func (c *Client) eachWindow(set UIDSet, run func(part UIDSet) error) error {
	parts, err := c.windows(set)
	for i := 0; i < len(parts) && err == nil; i++ {
		err = run(parts[i])
	}
	return err
}

// messageLimit is the number of messages that one command may be about, 0 when
// there is no limit.
func (c *Client) messageLimit() uint64 {
	text, _ := c.caps.Value("MESSAGELIMIT")
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return n
}
