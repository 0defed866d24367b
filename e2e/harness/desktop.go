package harness

import (
	"os"
	"path/filepath"
	"testing"
)

// Desktop returns settings for [Environment] that let programs open addresses in
// the browser whose desk is at that URL, see [browser.Desk]. All the names by
// which they do it lead to the stand-in, in a folder of its own below home.
func Desktop(t testing.TB, home, variable, desk string) []string {
	t.Helper()
	dir := filepath.Join(home, "desktop")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatalf("making a desktop: %v", err)
	}
	target := Installed(t, "desktop", "xdg-open")
	for _, name := range []string{"xdg-open", "open", "sensible-browser", "x-www-browser", "firefox", "chromium"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatalf("making a desktop: %v", err)
		}
	}
	return []string{
		"PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH"),
		"BROWSER=" + filepath.Join(dir, "xdg-open"),
		"DISPLAY=:0", // or they would think that there is no browser
		// Some bring an xdg-open of their own, which would ask the machine's
		// list of programs before BROWSER.
		"XDG_DATA_DIRS=" + filepath.Join(dir, "share"),
		variable + "=" + desk,
	}
}
