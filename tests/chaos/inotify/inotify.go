// Package inotify tells of files that get their name or lose it, as the kernel says it: each rename into place and each
// removal, also those that a look at the directory would come too late for.
package inotify

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Watch calls seen for every file that is renamed into one of the directories, or removed from it, until the context
// ends. Directories that are made in them are watched too; a file that came before the watch did is told of as there.
func Watch(ctx context.Context, directories []string, seen func(path string, there bool)) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return err
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, names: map[int32]string{}, seen: seen}
	for _, d := range directories {
		if err := w.add(d); err != nil {
			_ = w.file.Close()
			return err
		}
	}
	context.AfterFunc(ctx, func() { _ = w.file.Close() })
	go w.run()
	return nil
}

type watcher struct {
	file  *os.File
	fd    int
	mu    sync.Mutex
	names map[int32]string
	seen  func(string, bool)
}

func (w *watcher) add(directory string) error {
	wd, err := unix.InotifyAddWatch(w.fd, directory, unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_CREATE|unix.IN_ONLYDIR)
	if err != nil {
		return fmt.Errorf("%s: %w", directory, err)
	}
	w.mu.Lock()
	w.names[int32(wd)] = directory
	w.mu.Unlock()
	return nil
}

// run reads until the file is closed.
func (w *watcher) run() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buffer)
		if err != nil {
			return
		}
		for at := 0; at+unix.SizeofInotifyEvent <= n; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(&buffer[at]))
			name := strings.TrimRight(string(buffer[at+unix.SizeofInotifyEvent:at+unix.SizeofInotifyEvent+int(e.Len)]), "\x00")
			at += unix.SizeofInotifyEvent + int(e.Len)
			w.mu.Lock()
			path := filepath.Join(w.names[e.Wd], name)
			w.mu.Unlock()
			w.event(e.Mask, path)
		}
	}
}

func (w *watcher) event(mask uint32, path string) {
	switch {
	case mask&unix.IN_ISDIR != 0:
		if mask&unix.IN_CREATE == 0 || w.add(path) != nil {
			return // a directory that went again has nothing to tell
		}
		inside, _ := os.ReadDir(path)
		for _, e := range inside {
			if !e.IsDir() {
				w.seen(filepath.Join(path, e.Name()), true)
			}
		}
	case mask&unix.IN_MOVED_TO != 0:
		w.seen(path, true)
	case mask&unix.IN_DELETE != 0:
		w.seen(path, false)
	}
}
