package poddriver

import "testing"

func TestTail(t *testing.T) {
	for _, row := range []struct {
		text  string
		lines int
		want  string
	}{
		{"a\nb\nc\n", -1, "a\nb\nc\n"}, {"a\nb\nc\n", 2, "b\nc\n"}, {"a\nb", 1, "b"},
		{"a\n", 5, "a\n"}, {"a\n", 0, ""}, {"", 3, ""},
	} {
		if got := tail(row.text, row.lines); got != row.want {
			t.Errorf("last %d lines of %q are %q, wanted %q", row.lines, row.text, got, row.want)
		}
	}
}
