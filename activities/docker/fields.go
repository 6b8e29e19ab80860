package docker

import (
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// untranslated is a Compose field, or one of its values, that our create path has
// no words for.
type untranslated struct {
	field string
	set   func(types.ServiceConfig) bool
}

// untranslatedFields is the whole list. A test walks compose-go's types: each field
// changes what we send to the engine, or is here, or is listed there with the
// reason why Compose's own create ignores it.
var untranslatedFields = []untranslated{
	{"credential_spec", func(s types.ServiceConfig) bool { return s.CredentialSpec != nil }},
	{"external_links", func(s types.ServiceConfig) bool { return len(s.ExternalLinks) > 0 }},
	{"links", func(s types.ServiceConfig) bool { return len(s.Links) > 0 }},
	{"log_driver", func(s types.ServiceConfig) bool { return s.LogDriver != "" }},
	{"log_opt", func(s types.ServiceConfig) bool { return len(s.LogOpt) > 0 }},
	{"mac_address", func(s types.ServiceConfig) bool { return s.MacAddress != "" }},
	{"models", func(s types.ServiceConfig) bool { return len(s.Models) > 0 }},
	{"net", func(s types.ServiceConfig) bool { return s.Net != "" }},
	{"post_start", func(s types.ServiceConfig) bool { return len(s.PostStart) > 0 }},
	{"pre_start", func(s types.ServiceConfig) bool { return len(s.PreStart) > 0 }},
	{"pre_stop", func(s types.ServiceConfig) bool { return len(s.PreStop) > 0 }},
	{"provider", func(s types.ServiceConfig) bool { return s.Provider != nil }},
	{"umask", func(s types.ServiceConfig) bool { return s.Umask != nil }},
	{"use_api_socket", func(s types.ServiceConfig) bool { return s.UseAPISocket }},
	{"volumes_from", func(s types.ServiceConfig) bool { return len(s.VolumesFrom) > 0 }},
	// A namespace of another service would be its container of today, gone after its next roll.
	{"network_mode: service:", func(s types.ServiceConfig) bool { return ofService(s.NetworkMode) }},
	{"ipc: service:", func(s types.ServiceConfig) bool { return ofService(s.Ipc) }},
	{"pid: service:", func(s types.ServiceConfig) bool { return ofService(s.Pid) }},
	{"networks.interface_name", onNetwork(func(n types.ServiceNetworkConfig) bool { return n.InterfaceName != "" })},
	{"networks.mac_address", onNetwork(func(n types.ServiceNetworkConfig) bool { return n.MacAddress != "" })},
	{"networks.use_service_name_alias: false", onNetwork(func(n types.ServiceNetworkConfig) bool { return !n.ServiceNameAliasEnabled() })},
	{"volumes.type: image", ofVolumeType(types.VolumeTypeImage)},
	{"volumes.type: npipe", ofVolumeType(types.VolumeTypeNamedPipe)},
	{"volumes.type: cluster", ofVolumeType(types.VolumeTypeCluster)},
	{"devices of CDI", func(s types.ServiceConfig) bool {
		for _, d := range s.Devices {
			if d.Source == d.Target && !strings.HasPrefix(d.Source, "/") {
				return true
			}
		}
		return false
	}},
}

// Untranslated names the Compose fields that the service sets and that containers
// of ours would lose; nil where none. Create refuses such a service.
func Untranslated(svc types.ServiceConfig) []string {
	var out []string
	for _, u := range untranslatedFields {
		if u.set(svc) {
			out = append(out, u.field)
		}
	}
	return out
}

func ofService(mode string) bool { return strings.HasPrefix(mode, types.ServicePrefix) }

func onNetwork(set func(types.ServiceNetworkConfig) bool) func(types.ServiceConfig) bool {
	return func(s types.ServiceConfig) bool {
		for _, n := range s.Networks {
			if n != nil && set(*n) {
				return true
			}
		}
		return false
	}
}

func ofVolumeType(kind string) func(types.ServiceConfig) bool {
	return func(s types.ServiceConfig) bool {
		for _, v := range s.Volumes {
			if v.Type == kind {
				return true
			}
		}
		return false
	}
}
