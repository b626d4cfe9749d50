package components

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenLifetime is how long a controller's token is valid; nothing renews it.
const tokenLifetime = 30 * 24 * time.Hour

func (c *Cluster) kubeconfigFile(name string) string { return filepath.Join(c.dir, name) }

// writeKubeconfig writes a kubeconfig for the given user into the folder.
func (c *Cluster) writeKubeconfig(name string, user *clientcmdapi.AuthInfo) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["controlplane"] = &clientcmdapi.Cluster{
		Server: c.serverURL, CertificateAuthority: c.files.ClientCA,
	}
	config.AuthInfos["user"] = user
	config.Contexts["controlplane"] = &clientcmdapi.Context{Cluster: "controlplane", AuthInfo: "user"}
	config.CurrentContext = "controlplane"
	return clientcmd.WriteToFile(*config, c.kubeconfigFile(name))
}

// certificate is a user who presents a client certificate.
func certificate(cert, key string) *clientcmdapi.AuthInfo {
	return &clientcmdapi.AuthInfo{ClientCertificate: cert, ClientKey: key}
}

// serviceAccount is the identity of an upstream controller.
type serviceAccount struct {
	namespace, name string
	// group and resource are something its role lets it list.
	group, resource string
}

// awaitRights waits until kube-apiserver has taken note of the account's role.
// Some controllers give up when their first request is refused.
func (c *Cluster) awaitRights(ctx context.Context, account serviceAccount) error {
	user := "system:serviceaccount:" + account.namespace + ":" + account.name
	return poll(ctx, "the rights of "+user, func(ctx context.Context) bool {
		review, err := c.clients.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User: user,
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: "list", Group: account.group, Resource: account.resource,
				},
			},
		}, metav1.CreateOptions{})
		return err == nil && review.Status.Allowed
	})
}

// writeServiceAccountKubeconfig writes a kubeconfig with a fresh token of the
// service account, so that a controller has its upstream rights and no more.
func (c *Cluster) writeServiceAccountKubeconfig(ctx context.Context, name string, account serviceAccount) error {
	if err := c.awaitRights(ctx, account); err != nil {
		return err
	}
	seconds := int64(tokenLifetime.Seconds())
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}
	token, err := c.clients.CoreV1().ServiceAccounts(account.namespace).
		CreateToken(ctx, account.name, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("requesting a token of service account %s/%s: %w", account.namespace, account.name, err)
	}
	return c.writeKubeconfig(name, &clientcmdapi.AuthInfo{Token: token.Status.Token})
}
