package docker

// Compose's labels, as its CLI writes and reads them.
const (
	labelProject     = "com.docker.compose.project"
	labelService     = "com.docker.compose.service"
	labelNumber      = "com.docker.compose.container-number"
	labelOneoff      = "com.docker.compose.oneoff"
	labelHook        = "com.docker.compose.hook"
	labelHash        = "com.docker.compose.config-hash"
	labelImage       = "com.docker.compose.image"
	labelVersion     = "com.docker.compose.version"
	labelWorkingDir  = "com.docker.compose.project.working_dir"
	labelConfigFiles = "com.docker.compose.project.config_files"
	labelDependsOn   = "com.docker.compose.depends_on"
	labelNetwork     = "com.docker.compose.network"
	labelVolume      = "com.docker.compose.volume"
)

// Labels of ours. Compose keeps them and looks at none.
const (
	// labelRun is the run that made the container.
	labelRun = "hive.run"
	// labelReference is the image reference that the compose file resolved to.
	labelReference = "hive.image"
)

// composeVersion is the release of the Compose CLI whose labels and hashes these
// are; tests/integration holds it against the CLI itself.
const composeVersion = "5.6.0"

func merged(sets ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, set := range sets {
		for k, v := range set {
			out[k] = v
		}
	}
	return out
}
