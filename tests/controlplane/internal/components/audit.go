package components

import (
	_ "embed"
	"os"
	"path/filepath"
)

// auditPolicy says which requests kube-apiserver records.
//
//go:embed auditpolicy.yaml
var auditPolicy []byte

// auditPolicyFile is where kube-apiserver reads the policy.
func (c *Cluster) auditPolicyFile() string { return filepath.Join(c.dir, "audit-policy.yaml") }

// writeAuditPolicy puts the policy where kube-apiserver reads it.
func (c *Cluster) writeAuditPolicy() error {
	return os.WriteFile(c.auditPolicyFile(), auditPolicy, 0o600)
}

// auditFlags make kube-apiserver record, in audit.log beside the logs, what the
// product's own accounts ask for: tests hold the shipped roles against it.
func (c *Cluster) auditFlags() []string {
	return []string{
		"--audit-policy-file=" + c.auditPolicyFile(),
		"--audit-log-path=" + filepath.Join(c.dir, "logs", "audit.log"),
	}
}
