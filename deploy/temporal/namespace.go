package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/schema/sqlite"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

// attributes are the platform's search attributes: what a list of runs can be filtered by.
var attributes = map[string]enums.IndexedValueType{
	"OpsRunbook":       enums.INDEXED_VALUE_TYPE_KEYWORD,
	"OpsOutcome":       enums.INDEXED_VALUE_TYPE_KEYWORD,
	"OpsTrigger":       enums.INDEXED_VALUE_TYPE_KEYWORD,
	"OpsPhase":         enums.INDEXED_VALUE_TYPE_KEYWORD,
	"OpsRequestedBy":   enums.INDEXED_VALUE_TYPE_KEYWORD,
	"OpsEnvironment":   enums.INDEXED_VALUE_TYPE_KEYWORD,
	"OpsSeverity":      enums.INDEXED_VALUE_TYPE_KEYWORD,
	"OpsIncident":      enums.INDEXED_VALUE_TYPE_KEYWORD,
	"OpsComponents":    enums.INDEXED_VALUE_TYPE_KEYWORD_LIST,
	"OpsDryRun":        enums.INDEXED_VALUE_TYPE_BOOL,
	"OpsNeedsApproval": enums.INDEXED_VALUE_TYPE_BOOL,
	"OpsDeadline":      enums.INDEXED_VALUE_TYPE_DATETIME,
}

// searchAttributes is the platform's set and the command line's further ones.
func searchAttributes(extra map[string]string) (map[string]enums.IndexedValueType, error) {
	all := maps.Clone(attributes)
	for name, typeName := range extra {
		kind, err := enums.IndexedValueTypeFromString(typeName)
		if err != nil || kind == enums.INDEXED_VALUE_TYPE_UNSPECIFIED {
			return nil, fmt.Errorf("--search-attribute %s=%s: unknown type; one of Keyword, KeywordList, Bool, Datetime, Int, Double, Text", name, typeName)
		}
		if had, ok := all[name]; ok && had != kind {
			return nil, fmt.Errorf("--search-attribute %s=%s: the platform has it as %s", name, typeName, had)
		}
		all[name] = kind
	}
	return all, nil
}

// createNamespace writes namespace, retention and attributes into a fresh database before the server starts, so that
// the first call finds them. On a database that has the namespace it changes nothing.
func createNamespace(sql *config.SQL, s *settings) error {
	wanted, err := searchAttributes(s.extra)
	if err != nil {
		return err
	}
	ns, err := sqlite.NewNamespaceConfig(clusterName, s.namespace, false, wanted)
	if err != nil {
		return fmt.Errorf("namespace %q: %w", s.namespace, err)
	}
	ns.Detail.Info.Description = "Procedures of Agent Hive Operations"
	ns.Detail.Config.Retention = durationpb.New(s.retention)
	if err := sqlite.CreateNamespaces(sql, ns); err != nil {
		return fmt.Errorf("create namespace %q in %s: %w", s.namespace, sql.DatabaseName, err)
	}
	return nil
}

// ensureNamespace brings a running server's namespace to what this version wants: creation is a first boot's only,
// so a newer version's attributes and a changed retention arrive here. It returns once lists know them.
func ensureNamespace(ctx context.Context, conn *grpc.ClientConn, s *settings) error {
	if err := ensureRetention(ctx, conn, s); err != nil {
		return fmt.Errorf("namespace %q: %w", s.namespace, err)
	}
	wanted, err := searchAttributes(s.extra)
	if err != nil {
		return err
	}
	operator := operatorservice.NewOperatorServiceClient(conn)
	missing, err := missingAttributes(ctx, operator, s.namespace, wanted)
	if err != nil {
		return fmt.Errorf("search attributes of namespace %q: %w", s.namespace, err)
	}
	if len(missing) == 0 {
		return nil
	}
	slog.Info("search attributes are added", "namespace", s.namespace, "names", slices.Sorted(maps.Keys(missing)))
	if _, err := operator.AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: s.namespace, SearchAttributes: missing,
	}); err != nil {
		return fmt.Errorf("search attributes of namespace %q: %w", s.namespace, err)
	}
	return awaitAttributes(ctx, workflowservice.NewWorkflowServiceClient(conn), s.namespace, missing)
}

func ensureRetention(ctx context.Context, conn *grpc.ClientConn, s *settings) error {
	frontend := workflowservice.NewWorkflowServiceClient(conn)
	found, err := frontend.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: s.namespace})
	if err != nil {
		return err
	}
	if had := found.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration(); had != s.retention {
		slog.Info("retention changes", "namespace", s.namespace, "from", had, "to", s.retention)
		_, err = frontend.UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{
			Namespace: s.namespace,
			Config:    &namespacepb.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(s.retention)},
		})
	}
	return err
}

// awaitAttributes waits until lists can be filtered by what was added. The listing of attributes reads the database,
// but calls go through a cache of namespaces that is renewed every two seconds; until then they refuse the new names.
func awaitAttributes(ctx context.Context, frontend workflowservice.WorkflowServiceClient, namespace string, added map[string]enums.IndexedValueType) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for _, name := range slices.Sorted(maps.Keys(added)) {
		for {
			_, err := frontend.CountWorkflowExecutions(ctx, &workflowservice.CountWorkflowExecutionsRequest{
				Namespace: namespace, Query: fmt.Sprintf("`%s` IS NULL", name),
			})
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("search attribute %s of namespace %q cannot be used (%w): %w", name, namespace, err, ctx.Err())
			case <-tick.C:
			}
		}
	}
	return nil
}

// missingAttributes are those of the wanted that the server does not list. One that it lists with another type is an
// error: a type never changes, so the operator has to choose another name.
func missingAttributes(ctx context.Context, operator operatorservice.OperatorServiceClient, namespace string, wanted map[string]enums.IndexedValueType) (map[string]enums.IndexedValueType, error) {
	listed, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return wanted, err
	}
	missing := map[string]enums.IndexedValueType{}
	for name, kind := range wanted {
		had, ok := listed.GetCustomAttributes()[name]
		if ok && had != kind {
			return nil, fmt.Errorf("%s is wanted as %s and exists as %s; a type cannot change, choose another name", name, kind, had)
		}
		if !ok {
			missing[name] = kind
		}
	}
	return missing, nil
}
