package adopt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// before is the ending of the proxy's configuration as it was.
const before = ".before-hive"

// Write writes the proposal. Nothing that exists is overwritten: one file that is
// there keeps all of them from being written. Only the proxy's configuration is
// changed in place; as it was it stays beside itself.
func (p *Proposal) Write() error {
	dir := filepath.Dir(p.Files[0].Path)
	files := append([]File{}, p.Files...)
	var dirs []string
	if p.Proxy.Diff != "" {
		files = append(files, File{Path: p.Proxy.Conf + before, Text: p.Proxy.before})
		for _, f := range p.addressFiles(dir) {
			if _, err := os.Lstat(f.Path); errors.Is(err, fs.ErrNotExist) { // hive's own, of an earlier call
				files = append(files, f)
			}
		}
		dirs = []string{filepath.Join(dir, addressDir), filepath.Join(dir, logDir)}
	} else {
		dirs = []string{filepath.Join(dir, filepath.Dir(logDir))} // LogManagement looks there
	}
	var taken []string
	for _, f := range files {
		if _, err := os.Lstat(f.Path); err == nil {
			taken = append(taken, f.Path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if len(taken) > 0 {
		return fmt.Errorf("there already: %s; nothing was written: move them away, or take over by hand what is new", strings.Join(taken, " and "))
	}
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if p.Proxy.Diff != "" {
		// nginx opens this log as the user of its workers, whose number depends on the image.
		if err := os.Chmod(dirs[1], 0o777|os.ModeSticky); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := create(f.Path, f.Text); err != nil {
			return err
		}
		p.Written = append(p.Written, f.Path)
	}
	if p.Proxy.Diff == "" {
		return nil
	}
	if err := p.replaceConf(); err != nil {
		return err
	}
	p.Written = append(p.Written, p.Proxy.Conf)
	return nil
}

// addressFiles are the first ones: each routes to its service by name, as the
// configuration did, until hive writes addresses.
func (p *Proposal) addressFiles(dir string) []File {
	out := []File{{
		Path: filepath.Join(dir, addressDir, "generation.conf"),
		Text: "# written by hive init; the proxy's hand overwrites it\nmap \"\" $hive_generation {\n  default 1;\n}\n",
	}}
	for _, svc := range p.Services {
		if svc.upstream != "" && svc.probe != nil {
			out = append(out, File{
				Path: filepath.Join(dir, addressDir, svc.upstream+".conf"),
				Text: fmt.Sprintf("# written by hive init; the proxy's hand overwrites it\nserver %s:%d max_fails=0;\n", svc.Name, svc.probe.Port),
			})
		}
	}
	return out
}

// create writes a file that must not be there.
func create(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half a file is worse than none
	}
	return nil
}

// replaceConf writes the changed configuration into the same file: a container that
// mounts it as a single file would not see one that was renamed into its place.
func (p *Proposal) replaceConf() error {
	raw, err := os.ReadFile(p.Proxy.Conf)
	if err != nil {
		return err
	}
	if string(raw) != p.Proxy.before {
		return fmt.Errorf("%s was changed while hive init looked at it: it stays as it is, and the other files are written; look again", p.Proxy.Conf)
	}
	f, err := os.OpenFile(p.Proxy.Conf, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(p.Proxy.changed)
	return errors.Join(err, f.Sync(), f.Close())
}
