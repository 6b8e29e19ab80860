package policy

import "golang.org/x/sys/unix"

// smallDisk mounts a disk of a few pages, which fills at once.
func smallDisk(dir, options string) (unmount func(), err error) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		return nil, err
	}
	return func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }, nil
}
