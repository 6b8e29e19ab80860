package runbook

// Role says what a service is, and so what procedures may do to it.
type Role string

const (
	// RoleApp answers requests behind the proxy; it is rolled.
	RoleApp Role = "app"
	// RoleWorker takes tasks and answers nobody; it is rolled by its tasks.
	RoleWorker Role = "worker"
	// RoleStore keeps data; it is never rolled by the app procedure.
	RoleStore Role = "store"
	// RoleProxy routes; it is never rolled by the app procedure.
	RoleProxy Role = "proxy"
	// RoleMonitoring watches; it is never rolled by the app procedure.
	RoleMonitoring Role = "monitoring"
)

// Rolled says whether RollingRestart may replace services of this role.
func (r Role) Rolled() bool { return r == RoleApp || r == RoleWorker }

// Service is what procedures know of one Compose service: names, roles, digests
// and hashes, never environment values.
type Service struct {
	Name     string `json:"name"`
	Role     Role   `json:"role"`
	Order    int    `json:"order"`
	Replicas int    `json:"replicas"`
	// Image is the reference that the compose file resolves to.
	Image string `json:"image"`
	// ConfigHash equals `docker compose config --hash` for the service.
	ConfigHash string `json:"configHash"`
	// Once says that it runs to its end, as a migration does: it is not expected to
	// stay, and never rolled.
	Once bool `json:"once,omitempty"`
	// Probe is how health is asked; nil where the file declares none.
	Probe *Probe `json:"probe,omitempty"`
	// MinHealthy is how long health must hold without a break.
	MinHealthy Duration `json:"minHealthy"`
	// Drain caps how long an old replica may take to fall quiet.
	Drain Duration `json:"drain"`
	// StopGrace is the time between SIGTERM and SIGKILL.
	StopGrace Duration `json:"stopGrace"`
	// Upstream names the proxy's address file; empty where the proxy does not route to it.
	Upstream string `json:"upstream,omitempty"`
	// ProxyHealth is a path through the proxy that this service answers.
	ProxyHealth string `json:"proxyHealth,omitempty"`
	// Supply is what gives the service work where users give it none; nil where the
	// file declares none (an app is asked for its ProxyHealth).
	Supply *Supply `json:"supply,omitempty"`
	// Control is the queue on which the service's replicas answer steps about
	// themselves, ControlAssignment; empty where they answer none.
	Control string `json:"control,omitempty"`
	// HasHealthcheck says whether the compose file gives it a HEALTHCHECK.
	HasHealthcheck bool `json:"hasHealthcheck"`
	// LogLimited says whether its container logs are bounded.
	LogLimited bool `json:"logLimited"`
	// MemoryLimit in bytes, 0 for none.
	MemoryLimit int64 `json:"memoryLimit,omitempty"`
	// Bars are the reasons why it cannot be rolled without downtime: container_name,
	// host ports, one replica, no probe, a Compose field we do not translate.
	Bars []string `json:"bars,omitempty"`
}

// Rolled says whether RollingRestart may replace this service.
func (s Service) Rolled() bool { return s.Role.Rolled() && !s.Once }

// Probe is one way to ask a replica whether it is healthy.
type Probe struct {
	// HTTP is a path such as "/readyz"; empty means a TCP connect.
	HTTP string `json:"http,omitempty"`
	// Port inside the container.
	Port int `json:"port"`
}

// Supply is a request through the proxy that ends at the service: a new replica
// is judged by what it does, and on a quiet stack nobody asks it for anything.
type Supply struct {
	// Path such as "/v1/tasks"; Post is the JSON body to POST there.
	Path string `json:"path"`
	Post string `json:"post"`
}

// Stack is the Compose project as resolved at the start of a run.
type Stack struct {
	Project  string    `json:"project"`
	Services []Service `json:"services"`
	// Network is the app network's engine name, Subnet its range in CIDR, empty
	// where none is configured (the engine then refuses fixed addresses).
	Network string `json:"network"`
	Subnet  string `json:"subnet,omitempty"`
	// ReplicaRange is the CIDR that app replicas get fixed addresses from.
	ReplicaRange string `json:"replicaRange,omitempty"`
	// Compose is the run's own 0600 copy of the resolved file; acts read it.
	Compose string `json:"compose"`
	// ComposeHash is the copy's sha256.
	ComposeHash string `json:"composeHash"`
}

// Service returns the service of that name.
func (s Stack) Service(name string) (Service, bool) {
	for _, svc := range s.Services {
		if svc.Name == name {
			return svc, true
		}
	}
	return Service{}, false
}
