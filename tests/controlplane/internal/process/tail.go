package process

import (
	"io"
	"os"
)

// Tail returns the last bytes of a log file, at most limit, or an empty string
// when the file cannot be read.
func Tail(file string, limit int64) string {
	log, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer log.Close()
	if info, err := log.Stat(); err == nil && info.Size() > limit {
		if _, err := log.Seek(-limit, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(io.LimitReader(log, limit))
	if err != nil {
		return ""
	}
	return string(text)
}
