"""Who may do what at the peer: tokens, rules, impersonation and reviews."""

import pytest

from tests.bed.kube import Cluster
from tests.bed.kube.manifests import deployment, rule
from tests.bed.kube.talk import path, talking

SCALE = rule("get", "patch", group="apps", resources=("deployments/scale",))


async def test_least_privilege_may_scale_and_nothing_else(cluster: Cluster) -> None:
    cluster.apply(deployment())
    token = cluster.account_token("shop", "responder")
    cluster.allow("system:serviceaccount:shop:responder", SCALE, "shop")
    async with talking(cluster, token) as talk:
        assert (await talk.patch(f"{path('deploy', 'web')}/scale", {"spec": {"replicas": 3}})).status == 200
        refused = await talk.get(path("deploy", "web"))
        assert (refused.status, refused.reason) == (403, "Forbidden")
        said = 'deployments.apps "web" is forbidden: User "system:serviceaccount:shop:responder" cannot get resource '
        assert refused.body["message"] == f'{said}"deployments" in API group "apps" in the namespace "shop"'
        assert (await talk.patch(path("deploy", "web"), {"spec": {"replicas": 4}})).status == 403
        elsewhere = f"{path('deploy', 'web', 'default')}/scale"
        assert (await talk.get(elsewhere)).status == 403
    assert cluster.get("Deployment", "shop", "web")["spec"]["replicas"] == 3
    assert [(entry.status, entry.changed) for entry in cluster.ledger.entries] == [(200, True), (403, False)]


async def test_names_narrow_a_rule(cluster: Cluster) -> None:
    cluster.apply([deployment(), deployment("other")])
    cluster.allow("bob", rule("get", group="apps", resources=("deployments",), names=("web",)))
    async with talking(cluster, cluster.token("bob")) as talk:
        assert (await talk.get(path("deploy", "web"))).status == 200
        assert (await talk.get(path("deploy", "other"))).status == 403
        assert (await talk.get(path("deploy"))).status == 403


@pytest.mark.parametrize(("verb", "status"), [("list", 403), ("watch", 200)])
async def test_a_watch_needs_the_verb_watch(cluster: Cluster, verb: str, status: int) -> None:
    cluster.allow("bob", rule(verb, resources=("pods",)))
    async with talking(cluster, cluster.token("bob")) as talk:
        assert (await talk.get("/api/v1/pods", watch="true", timeoutSeconds="0.05")).status == status


async def test_nobody_in_particular_is_anonymous(cluster: Cluster) -> None:
    async with talking(cluster) as talk:
        talk.session.headers.pop("Authorization")
        refused = await talk.get("/api/v1/pods")
        assert (refused.status, "system:anonymous" in refused.body["message"]) == (403, True)
        assert (await talk.get("/version")).body["gitVersion"].startswith("v1.36")
        assert (await talk.get("/readyz")).body == "ok"


async def test_groups_are_bound_too(cluster: Cluster) -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "readers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"kind": "Group", "name": "sre", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "reader"}}
    cluster.apply([{**role, "rules": [rule("*", resources=("*",))]}, binding])
    async with talking(cluster, cluster.token("eve", groups=("sre",))) as talk:
        assert (await talk.get("/api/v1/nodes")).status == 200
        assert (await talk.get("/apis/apps/v1/deployments")).status == 403


async def test_a_viewer_sees_no_secrets(cluster: Cluster) -> None:
    group = "rbac.authorization.k8s.io"
    cluster.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "bob", "namespace": "shop"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "apiGroup": group, "name": "bob"}],
        }
    )
    async with talking(cluster, cluster.token("bob")) as talk:
        assert (await talk.get(path("pods"))).status == 200
        assert (await talk.get(path("secrets"))).status == 403
        assert (await talk.get(path("pods", namespace="default"))).status == 403


async def test_a_review_of_oneself_says_what_the_rules_say(cluster: Cluster) -> None:
    cluster.allow("bob", SCALE, "shop")
    asked = {"namespace": "shop", "verb": "patch", "group": "apps", "resource": "deployments", "subresource": "scale"}
    where = "/apis/authorization.k8s.io/v1"
    async with talking(cluster, cluster.token("bob")) as talk:
        for change, allowed in (({}, True), ({"verb": "delete"}, False), ({"namespace": "default"}, False)):
            body = {"spec": {"resourceAttributes": {**asked, **change}}}
            answer = await talk.send("POST", f"{where}/selfsubjectaccessreviews", body)
            assert (answer.status, answer.body["status"]["allowed"]) == (201, allowed)
        rules = await talk.send("POST", f"{where}/selfsubjectrulesreviews", {"spec": {"namespace": "shop"}})
        assert {**SCALE} in rules.body["status"]["resourceRules"]
        other = {"spec": {"user": "eve", "resourceAttributes": asked}}
        assert (await talk.send("POST", f"{where}/subjectaccessreviews", other)).status == 403


async def test_a_token_can_ask_whose_it_is(cluster: Cluster) -> None:
    where = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    async with talking(cluster, cluster.account_token("shop", "bot")) as talk:
        answer = await talk.send("POST", where, {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        assert answer.body["status"]["userInfo"]["username"] == "system:serviceaccount:shop:bot"


async def test_impersonation_needs_a_right_and_has_its_limits(cluster: Cluster) -> None:
    cluster.allow("bob", rule("list", resources=("pods",)))
    async with talking(cluster) as talk:
        as_bob = {"Impersonate-User": "bob"}
        assert (await talk.send("GET", "/api/v1/pods", headers=as_bob)).status == 200
        assert (await talk.send("GET", "/api/v1/nodes", headers=as_bob)).status == 403
    async with talking(cluster, cluster.token("bob")) as talk:
        refused = await talk.send("GET", "/api/v1/pods", headers={"Impersonate-User": "admin"})
        assert (refused.status, "impersonate" in refused.body["message"]) == (403, True)
