package docker

import (
	"encoding/json"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// ignored are the fields that change nothing about a container, each with the
// reason. Below a field that is here nothing is looked at.
var ignored = map[string]string{
	"name":               "the service's key: it is in the container's name and labels",
	"profiles":           "chooses services before any is created",
	"extends":            "resolved by the reader",
	"develop":            "for docker compose watch only",
	"build":              "how the image came to be; what runs is given by its ID",
	"dockerfile":         "as build",
	"image":              "what runs is given by its ID",
	"pull_policy":        "when images are pulled, which the plan decides",
	"pull_refresh_after": "as pull_policy",
	"scale":              "how many there are, which the plan decides",
	"attach":             "what docker compose up prints",
	"env_file":           "resolved into environment by the reader",
	"label_file":         "resolved into labels by the reader",
	"-":                  "labels that Compose adds itself; ours come from the service",
	"deploy.mode":        "Swarm's; Compose ignores it too", "deploy.replicas": "as scale",
	"deploy.labels": "of Swarm's service, not of its containers", "deploy.update_config": "Swarm's", "deploy.rollback_config": "Swarm's",
	"deploy.placement": "Swarm's", "deploy.endpoint_mode": "Swarm's",
	"deploy.restart_policy.delay": "Swarm's: the engine has a pause of its own", "deploy.restart_policy.window": "Swarm's",
	"deploy.resources.limits.devices": "only reservations name devices", "deploy.resources.limits.generic_resources": "Swarm's",
	"deploy.resources.reservations.cpus": "Swarm's", "deploy.resources.reservations.pids": "Swarm's: pids is a limit", "deploy.resources.reservations.generic_resources": "Swarm's",
	"ports.name": "for people", "ports.mode": "Swarm's", "ports.app_protocol": "for people",
	"networks.priority":               "orders the networks of one service, tried in TestNetworkPriority",
	"networks.use_service_name_alias": "only false says something, and that is refused",
	"depends_on.required":             "whether the other service must exist, which the reader has seen to",
	"secrets.uid":                     "Compose ignores it for files", "secrets.gid": "Compose ignores it for files", "secrets.mode": "Compose ignores it for files",
	"configs.uid": "Compose ignores it for files", "configs.gid": "Compose ignores it for files", "configs.mode": "Compose ignores it for files",
	"volumes.image": "of volumes of type image, which are refused",
}

// samples are values where any non-zero one would be no valid Compose.
var samples = map[string]any{
	"security_opt": []string{"no-new-privileges"}, "expose": types.StringOrNumberList{"8080"}, "platform": "linux/arm64/v8",
	"network_mode": "host", "restart": "always", "ports.protocol": "udp", "ports.published": "8080", "ports.target": uint32(9),
	"extra_hosts": types.HostsList{"a": []string{"10.0.0.1"}}, "devices.source": "/dev/a", "devices.target": "/dev/b",
	"volumes.bind.recursive": "disabled", "volumes.bind.create_host_path": types.OptOut(false), "healthcheck.test": types.HealthCheckTest{"CMD", "x"},
	"networks.ipv4_address": "10.0.0.9", "secrets.source": "other", "configs.source": "other", "volumes.source": "/elsewhere",
	"volumes.type": types.VolumeTypeTmpfs,
}

// Every field of Compose's service changes what we send to the engine, or is
// refused by name, or is ignored for a stated reason.
func TestEveryFieldIsTranslatedRefusedOrIgnored(t *testing.T) {
	unused := map[string]bool{}
	for field := range ignored {
		unused[field] = true
	}
	refused := map[string]bool{}
	walk(t, reflect.TypeOf(types.ServiceConfig{}), "", nil, func(path string, set func(*types.ServiceConfig)) {
		if reason := ignored[path]; reason != "" {
			delete(unused, path)
			return
		}
		plain, changed := fullService(path), fullService(path)
		set(&changed)
		if lost := Untranslated(changed); len(lost) > 0 {
			for _, field := range lost {
				require.True(t, strings.HasPrefix(path, strings.SplitN(field, ":", 2)[0]) || strings.HasPrefix(field, path), "setting %s is refused as %s", path, field)
				refused[field] = true
			}
			return
		}
		require.NotEqual(t, documentText(t, plain), documentText(t, changed), "%s is neither translated nor refused nor ignored for a reason", path)
	})
	require.Empty(t, unused, "ignored fields that compose-go does not have")
	for _, u := range untranslatedFields {
		if _, _, value := strings.Cut(u.field, ":"); !value && u.field != "devices of CDI" {
			require.True(t, refused[u.field], "%s is refused, and no field of compose-go brings that about", u.field)
		}
	}
}

func TestUntranslatedValues(t *testing.T) {
	no := false
	for field, svc := range map[string]types.ServiceConfig{
		"network_mode: service:":                 {ContainerSpec: types.ContainerSpec{NetworkMode: "service:web"}},
		"ipc: service:":                          {ContainerSpec: types.ContainerSpec{Ipc: "service:web"}},
		"pid: service:":                          {ContainerSpec: types.ContainerSpec{Pid: "service:web"}},
		"networks.use_service_name_alias: false": {ContainerSpec: types.ContainerSpec{Networks: map[string]*types.ServiceNetworkConfig{"a": nil, "b": {UseServiceNameAlias: &no}}}},
		"volumes.type: image":                    {ContainerSpec: types.ContainerSpec{Volumes: []types.ServiceVolumeConfig{{Type: "image"}}}},
		"volumes.type: npipe":                    {ContainerSpec: types.ContainerSpec{Volumes: []types.ServiceVolumeConfig{{Type: "npipe"}}}},
		"volumes.type: cluster":                  {ContainerSpec: types.ContainerSpec{Volumes: []types.ServiceVolumeConfig{{Type: "cluster"}}}},
		"devices of CDI":                         {ContainerSpec: types.ContainerSpec{Devices: []types.DeviceMapping{{Source: "vendor.com/gpu=0", Target: "vendor.com/gpu=0"}}}},
	} {
		require.Equal(t, []string{field}, Untranslated(svc))
	}
	require.Empty(t, Untranslated(fullService("")))
}

func TestNetworkPriority(t *testing.T) {
	svc := fullService("")
	svc.Networks = map[string]*types.ServiceNetworkConfig{"net": nil, "other": {Priority: 10}}
	d, err := translate(testProject(), svc, Options{Number: 1})
	require.NoError(t, err)
	require.EqualValues(t, "p_other", d.Host.NetworkMode)
}

func testProject() *types.Project {
	file := types.SecretConfig{File: "/files/a"}
	other := types.SecretConfig{File: "/files/b"}
	return &types.Project{
		Name: "p", WorkingDir: "/stack", ComposeFiles: []string{"/stack/compose.yaml"},
		Networks: types.Networks{"net": {Name: "p_net", Ipam: types.IPAMConfig{Config: []*types.IPAMPool{{Subnet: "10.0.0.0/24"}}}}, "other": {Name: "p_other"}},
		Volumes:  types.Volumes{"data": {Name: "p_data"}},
		Secrets:  types.Secrets{"s": file, "other": other},
		Configs:  types.Configs{"c": types.ConfigObjConfig(file), "other": types.ConfigObjConfig(other)},
	}
}

// fullService has one element in each list whose elements the walk goes into.
func fullService(path string) types.ServiceConfig {
	svc := types.ServiceConfig{Name: "web", Deploy: &types.DeployConfig{Resources: types.Resources{Limits: &types.Resource{}, Reservations: &types.Resource{}}}}
	svc.Networks = map[string]*types.ServiceNetworkConfig{"net": {}}
	svc.Volumes = []types.ServiceVolumeConfig{{Type: "bind", Source: "/s", Target: "/t", Bind: &types.ServiceVolumeBind{CreateHostPath: true}}}
	switch {
	case strings.HasPrefix(path, "volumes.volume"):
		svc.Volumes = []types.ServiceVolumeConfig{{Type: "volume", Source: "data", Target: "/t", Volume: &types.ServiceVolumeVolume{}}}
	case strings.HasPrefix(path, "volumes.tmpfs"):
		svc.Volumes = []types.ServiceVolumeConfig{{Type: "tmpfs", Target: "/t", Tmpfs: &types.ServiceVolumeTmpfs{}}}
	case path == "volumes.consistency":
		svc.Volumes[0].Bind.CreateHostPath = false
	case path == "healthcheck.start_interval":
		period := types.Duration(time.Second)
		svc.HealthCheck = &types.HealthCheckConfig{StartPeriod: &period}
	}
	svc.Ports = []types.ServicePortConfig{{Target: 1}}
	svc.Secrets = []types.ServiceSecretConfig{{Source: "s"}}
	svc.Configs = []types.ServiceConfigObjConfig{{Source: "c"}}
	svc.Devices = []types.DeviceMapping{{Source: "/dev/x", Target: "/dev/x"}}
	return svc
}

func documentText(t *testing.T, svc types.ServiceConfig) string {
	t.Helper()
	d, err := translate(testProject(), svc, Options{Number: 1, ImageID: "sha256:1", Image: "i"})
	require.NoError(t, err)
	delete(d.Config.Labels, labelHash) // else any field would seem translated
	text, err := json.Marshal(d)
	require.NoError(t, err)
	return string(text)
}

// walk visits every leaf field with a function that sets it in a service.
func walk(t *testing.T, in reflect.Type, prefix string, into []step, visit func(string, func(*types.ServiceConfig))) {
	t.Helper()
	for i := range in.NumField() {
		f := in.Field(i)
		if f.Name == "Extensions" || !f.IsExported() {
			continue
		}
		here := append(append([]step{}, into...), step{field: i})
		if f.Anonymous {
			walk(t, f.Type, prefix, here, visit)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		path := strings.TrimPrefix(prefix+"."+name, ".")
		inner, more := elem(f.Type, here)
		if inner.Kind() == reflect.Struct && ignored[path] == "" && !refusedWhole(path) {
			walk(t, inner, path, more, visit)
			continue
		}
		visit(path, func(svc *types.ServiceConfig) { assign(t, reflect.ValueOf(svc).Elem(), here, path) })
	}
}

// refusedWhole: the field is refused whatever is in it.
func refusedWhole(path string) bool {
	for _, u := range untranslatedFields {
		if u.field == path {
			return true
		}
	}
	return false
}

// step is one move from a value to a part of it.
type step struct {
	field                 int
	pointer, index, inMap bool
}

// elem goes through pointers, lists and maps to what they hold.
func elem(t reflect.Type, into []step) (reflect.Type, []step) {
	for {
		switch t.Kind() {
		case reflect.Pointer:
			into = append(into, step{pointer: true})
		case reflect.Slice:
			into = append(into, step{index: true})
		case reflect.Map:
			into = append(into, step{inMap: true})
		default:
			return t, into
		}
		t = t.Elem()
	}
}

func assign(t *testing.T, v reflect.Value, into []step, path string) {
	t.Helper()
	if len(into) == 0 {
		if s, ok := samples[path]; ok {
			v.Set(reflect.ValueOf(s))
			return
		}
		fill(t, v, path)
		return
	}
	switch at := into[0]; {
	case at.pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		assign(t, v.Elem(), into[1:], path)
	case at.index:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		assign(t, v.Index(0), into[1:], path)
	case at.inMap:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		key := reflect.ValueOf("net").Convert(v.Type().Key())
		element := reflect.New(v.Type().Elem()).Elem()
		if had := v.MapIndex(key); had.IsValid() {
			element.Set(had)
		}
		assign(t, element, into[1:], path)
		v.SetMapIndex(key, element)
	default:
		assign(t, v.Field(at.field), into[1:], path)
	}
}

// fill sets any value that is not zero and not what was there.
func fill(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(v.Int() + int64(2*time.Second))
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 2)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(2)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if v.Elem().Kind() != reflect.Struct {
			fill(t, v.Elem(), path)
		}
	case reflect.Slice:
		s := reflect.MakeSlice(v.Type(), 1, 1)
		if s.Index(0).Kind() != reflect.Struct {
			fill(t, s.Index(0), path)
		}
		v.Set(s)
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		element := reflect.New(v.Type().Elem()).Elem()
		fill(t, element, path)
		m.SetMapIndex(reflect.ValueOf("x").Convert(v.Type().Key()), element)
		v.Set(m)
	case reflect.Struct:
	default:
		t.Fatalf("%s has a kind that the walk cannot fill: %s", path, v.Kind())
	}
}

func TestIgnoredReasonsAreSentences(t *testing.T) {
	var fields []string
	for field, reason := range ignored {
		if len(reason) < 5 {
			fields = append(fields, field)
		}
	}
	sort.Strings(fields)
	require.Empty(t, fields)
}
