package maintenance

import (
	"fmt"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// defaultMaxReplicas bounds a scale where the policy says nothing.
const defaultMaxReplicas = 10

// scaleDecision is what a scale has to do: replicas to add, or to take away.
type scaleDecision struct {
	Service runbook.Service
	// From and To are the numbers of serving replicas.
	From, To int
	ImageID  string
	Remove   []runbook.Container
	Changes  []runbook.Change
	Findings []runbook.Finding
}

// decideScale decides how to get a service to the wanted number of replicas. The
// highest numbers go first, because Compose keeps the lowest.
func decideScale(o observed, name string, to int, policy runbook.Policy, db runbook.DatabaseState) (scaleDecision, error) {
	services, err := chosen(o.stack, []string{name})
	if err != nil {
		return scaleDecision{}, err
	}
	svc := services[0]
	most := policy.Rolling.MaxReplicas
	if most <= 0 {
		most = defaultMaxReplicas
	}
	if to < 1 || to > most {
		return scaleDecision{}, runbook.Fail(runbook.Refused, "replicas: %d is out of bounds for %s; runbook.yaml allows 1 to %d (rolling.max_replicas)", to, name, most)
	}
	if len(svc.Bars) > 0 {
		return scaleDecision{}, runbook.Fail(runbook.Refused, "%s cannot be scaled: %s", name, strings.Join(svc.Bars, "; "))
	}
	lives := sortReplicas(svc, o.census.Of(name), o.proxy)
	d := scaleDecision{Service: svc, From: len(lives.serving), To: to, ImageID: runningImage(lives.serving)}
	if d.To > d.From {
		return d.grow(policy, db, o)
	}
	d.shrink(lives.serving)
	d.explain()
	return d, nil
}

func (d scaleDecision) grow(policy runbook.Policy, db runbook.DatabaseState, o observed) (scaleDecision, error) {
	if d.ImageID == "" {
		d.ImageID = o.images[d.Service.Image].LocalID
	}
	if d.ImageID == "" {
		return scaleDecision{}, runbook.Fail(runbook.Missing, "no replica of %s runs and its image %s is not here: run RollingRestart first", d.Service.Name, d.Service.Image)
	}
	budget := policy.Database.ConnectionBudget
	if db.MaxConnections > 0 && budget > 0 && float64(db.Connections) > budget*float64(db.MaxConnections) {
		return scaleDecision{}, runbook.Fail(runbook.Unsafe, "%d of %d database connections are in use, over the budget of %.0f %%: more replicas would take what is left",
			db.Connections, db.MaxConnections, 100*budget)
	}
	for i := d.From; i < d.To; i++ {
		d.Changes = append(d.Changes, change(runbook.CreateReplica.Name, runbook.CreateReplica.Effect, d.Service.Name,
			fmt.Sprintf("start replica %d of %d", i+1, d.To), ""))
	}
	d.explain()
	return d, nil
}

func (d *scaleDecision) shrink(serving []runbook.Container) {
	for i := len(serving) - 1; i >= d.To; i-- {
		d.Remove = append(d.Remove, serving[i])
		if d.Service.Control == runbook.ControlAssignment {
			d.Changes = append(d.Changes, handOverChange(d.Service.Name, i+1, d.From))
		}
		d.Changes = append(d.Changes,
			change(runbook.StopReplica.Name, runbook.StopReplica.Effect, d.Service.Name, fmt.Sprintf("stop replica %d of %d after its traffic has moved", i+1, d.From), ""),
			change(runbook.RemoveReplica.Name, runbook.RemoveReplica.Effect, d.Service.Name, fmt.Sprintf("remove replica %d of %d", i+1, d.From), ""))
	}
}

// explain says what a scale does not do: the compose file stays as it is.
func (d *scaleDecision) explain() {
	if d.To != d.Service.Replicas {
		d.Findings = append(d.Findings, runbook.Finding{Severity: runbook.Warning, Target: d.Service.Name,
			What: fmt.Sprintf("the compose file still says %d replicas: a plain `docker compose up -d` scales back to that; change deploy.replicas to keep %d", d.Service.Replicas, d.To)})
	}
}
