package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"
)

// Sources answers where hive's own sources lie, from which the platform is built:
// where they were named, else in the project itself (the repository's own stack),
// else around the program that runs, as `make hive` puts it into out/bin.
func Sources(named, projectDir string) (string, error) {
	if named != "" {
		dir, err := filepath.Abs(named)
		if err != nil {
			return "", fmt.Errorf("--hive %s: %w", named, err)
		}
		if !holdsSources(dir) {
			return "", fmt.Errorf("--hive %s holds no %s: name the directory that hive was cloned into", dir, platformFile)
		}
		return dir, nil
	}
	if holdsSources(projectDir) {
		return projectDir, nil
	}
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return "", fmt.Errorf("where this program lies is not known (%w): name hive's sources with --hive", err)
	}
	return around(program)
}

// around is the nearest directory above the program that holds the sources.
func around(program string) (string, error) {
	for dir := filepath.Dir(program); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if holdsSources(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("the platform is built from hive's sources, and %s does not lie among them: name the directory that hive was cloned into with --hive", program)
}

func holdsSources(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, platformFile))
	return err == nil
}
