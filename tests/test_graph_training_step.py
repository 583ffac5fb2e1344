"""Training steps: explicit parameters and captured modules, gradients in the middle of a body."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tessera as ts
from tessera import graph, op
from tessera.core.errors import Code, CompileError
from tessera.core.numerics import tolerance

eqx = pytest.importorskip("equinox")
optax = pytest.importorskip("optax")
RTOL, ATOL = tolerance(jnp.float32)

model = eqx.nn.MLP(3, 1, 8, 2, key=jax.random.key(0))


def data(seed=1, rows=16):
    x = jax.random.normal(jax.random.key(seed), (rows, 3))
    return x, x.sum(1, keepdims=True)


def loss_of(net, batch):
    x, y = batch
    return jnp.mean((jax.vmap(net)(x) - y) ** 2)


def close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, RTOL, ATOL), found, expected)


def raised(call) -> CompileError:
    with pytest.raises(CompileError) as caught:
        call()
    return caught.value


@graph.training_step
def explicit(net, batch):
    return loss_of(net, batch)


@graph.training_step
def captured(batch):
    loss = loss_of(model, batch)
    return graph.backward(loss), {"rows": jnp.float32(len(batch[0]))}


# -- explicit and captured parameters -----------------------------------------------------------------


def test_explicit_parameters_have_the_gradients_of_plain_jax():
    gradients, metrics = explicit(model, data())
    loss, expected = eqx.filter_value_and_grad(loss_of)(model, data())
    close(gradients, expected)
    close(metrics["loss"], loss)


def test_captured_parameters_have_the_gradients_of_explicit_ones():
    gradients, metrics = captured(data())
    expected, explicit_metrics = explicit(model, data())
    close(gradients["model"], expected)
    close(metrics["loss"], explicit_metrics["loss"])
    assert metrics["rows"] == 16


def test_any_pytree_can_be_trained():
    @graph.training_step
    def step(params, x):
        return jnp.sum((params["w"][0] * x + params["b"]) ** 2), {"count": params["steps"]}

    params = {"w": [jnp.array([2.0, 3.0])], "b": jnp.array([1.0, 0.0]), "steps": jnp.array(7)}
    gradients, metrics = step(params, jnp.array([1.0, -1.0]))
    np.testing.assert_allclose(gradients["w"][0], [6.0, 6.0])  # 2 (w x + b) x
    np.testing.assert_allclose(gradients["b"], [6.0, -6.0])
    assert gradients["steps"] is None
    assert metrics == {"loss": 18.0, "count": 7}


def test_a_step_takes_a_key():
    @graph.training_step
    def step(w, x, key):
        return jnp.sum(w * x * jax.random.normal(key, x.shape))

    x, key = jnp.arange(3.0), jax.random.key(4)
    gradient, _ = step(jnp.ones(3), x, key)
    np.testing.assert_allclose(gradient, x * jax.random.normal(key, (3,)), RTOL, ATOL)


def test_a_captured_step_takes_keywords():
    @graph.training_step
    def step(x, *, scale):
        return scale * jnp.sum(model(x))

    gradients, metrics = step(jnp.ones(3), scale=2.0)
    close(metrics["loss"], 2.0 * model(jnp.ones(3))[0])
    close(gradients["model"], eqx.filter_grad(lambda m: 2.0 * jnp.sum(m(jnp.ones(3))))(model))


def test_a_body_that_only_returns_its_loss_trains_what_it_captures():
    @graph.training_step
    def step(batch):
        return loss_of(model, batch)

    close(step(data())[0], captured(data())[0])


def test_optax_trains_explicit_parameters_to_the_solution():
    @graph.training_step
    def step(w, batch):
        x, y = batch
        return jnp.mean((x @ w - y) ** 2)

    x, y = data(rows=64)
    optimiser = optax.sgd(0.3)
    w = jnp.zeros((3, 1))
    state = optimiser.init(w)
    for _ in range(60):
        gradient, metrics = step(w, (x, y))
        updates, state = optimiser.update(gradient, state)
        w = optax.apply_updates(w, updates)
    expected = np.linalg.lstsq(np.asarray(x, np.float64), np.asarray(y, np.float64))[0]
    np.testing.assert_allclose(w, expected, rtol=1e-4)  # 60 steps reduce the error to 1e-5
    assert metrics["loss"] < 1e-6
    assert step.trace_count == 1


def test_a_captured_module_is_looked_up_at_each_call_and_not_compiled_again():
    net = eqx.nn.Linear(3, 1, key=jax.random.key(2))

    @graph.training_step
    def step(batch):
        return loss_of(net, batch)

    optimiser = optax.sgd(0.1)
    state = optimiser.init(step.parameters()["net"])
    losses = []
    for _ in range(30):
        gradients, metrics = step(data())
        updates, state = optimiser.update(gradients["net"], state)
        net = eqx.apply_updates(net, updates)
        losses.append(metrics["loss"])
    assert losses[-1] < losses[0] / 10
    assert step.trace_count == 1


def test_tessera_ops_in_a_step_have_the_gradients_of_their_references():
    @graph.training_step
    def step(params, batch):
        x, labels = batch
        hidden = op.rmsnorm(op.relu(op.matmul(x, params["w"])), weight=params["g"], eps=1e-6)
        return op.cross_entropy(hidden, labels)

    def plain(params, batch):
        x, labels = batch
        h = jnp.maximum(x @ params["w"], 0)
        h = h * jax.lax.rsqrt(jnp.mean(h**2, -1, keepdims=True) + 1e-6) * params["g"][None]
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(h), labels[:, None], 1))

    params = {"w": jax.random.normal(jax.random.key(0), (3, 5)), "g": jnp.ones(5)}
    batch = data()[0], jnp.arange(16) % 5
    gradients, metrics = step(params, batch)
    loss, expected = jax.value_and_grad(plain)(params, batch)
    close(metrics["loss"], loss)
    close(gradients, expected)


def test_a_step_is_jitted_again_and_differentiated():
    @graph.training_step
    def step(w, x):
        return jnp.sum((w * x) ** 2)

    curvature = jax.grad(lambda w: step(w, 3.0)[0])(2.0 * jnp.ones(()))
    assert curvature == 18.0
    assert jax.jit(step)(jnp.array(2.0), 3.0)[0] == 36.0


# -- which modules are captured -----------------------------------------------------------------------


def predict(x):
    return jax.vmap(model)(x)


def test_a_module_is_found_through_the_functions_that_use_it():
    @graph.training_step
    def step(batch):
        return jnp.mean((predict(batch[0]) - batch[1]) ** 2)

    close(step(data())[0], captured(data())[0])


def test_modules_are_found_in_containers_partials_methods_and_losses():
    layers = [eqx.nn.Linear(3, 3, key=jax.random.key(i)) for i in range(2)]
    heads = {"out": eqx.nn.Linear(3, 1, key=jax.random.key(2))}

    @graph.loss
    def error(batch):
        x, y = batch
        for layer in layers:
            x = jnp.tanh(jax.vmap(layer)(x))
        return jnp.mean((jax.vmap(heads["out"])(x) - y) ** 2)

    @graph.training_step
    def step(batch):
        return error(batch)

    gradients, _ = step(data())

    def plain(parameters):
        *hidden, out = parameters
        x, y = data()
        for layer in hidden:
            x = jnp.tanh(jax.vmap(layer)(x))
        return jnp.mean((jax.vmap(out)(x) - y) ** 2)

    expected = eqx.filter_grad(plain)([*layers, heads["out"]])
    names = ["layers[0]", "layers[1]", "heads['out']"]
    close([gradients[name] for name in names], expected)


def test_a_recursive_function_finds_its_module_once():
    layer = eqx.nn.Linear(3, 3, key=jax.random.key(0))

    def apply(x, depth):
        return x if depth == 0 else apply(jnp.tanh(layer(x)), depth - 1)

    @graph.training_step
    def step(x):
        return jnp.sum(apply(x, 3))

    def plain(layer):
        x = jnp.ones(3)
        for _ in range(3):
            x = jnp.tanh(layer(x))
        return jnp.sum(x)

    close(step(jnp.ones(3))[0]["layer"], eqx.filter_grad(plain)(layer))


def test_a_module_under_checkpoint_and_vmap_is_found():
    rematerialised = graph.checkpoint(predict)

    @graph.training_step
    def step(batch):
        return jnp.mean((rematerialised(batch[0]) - batch[1]) ** 2)

    close(step(data())[0], captured(data())[0])


def test_the_name_of_a_graph_module_limits_what_is_trained():
    other = eqx.nn.Linear(1, 1, key=jax.random.key(3))

    @graph.module("N")
    def net(x):
        return jax.vmap(model)(x)

    def body(batch):
        return jnp.mean((jax.vmap(other)(net(batch[0])) - batch[1]) ** 2)

    assert set(graph.training_step(body)(data())[0]) == {"model", "other"}
    limited, _ = graph.training_step(module="N")(body)(data())
    assert set(limited) == {"model"}
    close(limited["model"], graph.training_step(body)(data())[0]["model"])
    assert set(graph.training_step(module="other")(body)(data())[0]) == {"other"}
    error = raised(lambda: graph.training_step(module="M")(body)(data()))
    assert error.code is Code.E_GRAPH_INVALID
    assert "'M'" in error.message
    assert "N, model, other" in str(error)


def test_settings_of_a_module_stay_settings():
    class Scaled(eqx.Module):
        linear: eqx.nn.Linear
        scale: float
        steps: jax.Array

        def __call__(self, x):
            return self.linear(x) * self.scale if self.scale > 1 else self.linear(x)

    net = Scaled(eqx.nn.Linear(3, 1, key=jax.random.key(0)), 2.0, jnp.array(3))

    @graph.training_step
    def step(x):
        return net(x)[0]

    gradients, _ = step(jnp.ones(3))
    assert gradients["net"].scale is None
    assert gradients["net"].steps is None
    close(gradients["net"].linear, eqx.filter_grad(lambda n: n(jnp.ones(3))[0])(net).linear)


@pytest.mark.parametrize("wrap", [jax.jit, jax.custom_jvp, jax.custom_vjp])
def test_a_module_inside_a_jitted_function_is_refused_by_name(wrap):
    inside = wrap(lambda x: jax.vmap(model)(x))

    def body(batch):
        return jnp.mean(inside(batch[0]))

    for step in (body, wrap(body)):
        error = raised(lambda step=step: graph.training_step(step)(data()))
        assert error.code is Code.E_GRAPH_INVALID
        assert "module 'model' is captured inside" in error.message


def test_a_module_inside_an_equinox_wrapper_of_a_function_is_refused_by_name():
    inside = eqx.filter_jit(lambda x: jax.vmap(model)(x))
    holder = eqx.nn.Sequential([eqx.nn.Lambda(lambda x: model(x))])
    for body in (lambda batch: jnp.mean(inside(batch[0])), lambda batch: holder(batch[0][0])[0]):
        error = raised(lambda body=body: graph.training_step(body)(data()))
        assert error.code is Code.E_GRAPH_INVALID
        assert "'model' is captured inside" in error.message


def test_a_jitted_equinox_module_is_trained():
    jitted = eqx.filter_jit(model)
    gradients, _ = graph.training_step(lambda batch: loss_of(jitted, batch))(data())
    expected = jax.tree.leaves(captured(data())[0])
    close(jax.tree.leaves(gradients), expected)


def test_modules_are_found_through_compiled_functions_kernels_and_buckets():
    compiled = ts.compile(predict)

    @graph.kernel
    def into(x, out):
        out[:] = compiled(x)

    @graph.capture(bucket_by="rows", dims={"rows": {"x": 0}})
    def padded(x):
        return into(x, jax.ShapeDtypeStruct((x.shape[0], 1), jnp.float32))

    @graph.training_step
    def step(batch):
        return jnp.mean((padded(batch[0]) - batch[1]) ** 2)

    close(step(data(rows=11))[0], captured(data(rows=11))[0])


def test_a_body_with_nothing_to_train_says_so():
    error = raised(lambda: graph.training_step(lambda batch: jnp.sum(batch))(jnp.ones(2)))
    assert error.code is Code.E_GRAPH_INVALID
    assert "params, batch" in str(error)


# -- backward -----------------------------------------------------------------------------------------


def test_backward_gives_gradients_in_the_structure_asked_for():
    first = eqx.nn.Linear(3, 4, key=jax.random.key(0))
    second = eqx.nn.Linear(4, 1, key=jax.random.key(1))

    @graph.training_step
    def step(x):
        loss = jnp.sum(second(jnp.tanh(first(x))) ** 2)
        return graph.backward(loss, wrt=[second, "first", first.weight, second.bias]), {}

    def plain(modules):
        return jnp.sum(modules[1](jnp.tanh(modules[0](jnp.ones(3)))) ** 2)

    of_first, of_second = eqx.filter_grad(plain)((first, second))
    found, _ = step(jnp.ones(3))
    close(found, [of_second, of_first, of_first.weight, of_second.bias])


def test_the_body_goes_on_with_the_gradients():
    @graph.training_step
    def step(w, x):
        gradient = graph.backward(jnp.sum((w * x) ** 2))
        norm = jnp.sqrt(jnp.sum(gradient**2))
        return gradient / norm, {"norm": norm}

    w, x = jnp.array([3.0, 0.0]), jnp.array([1.0, 5.0])
    gradient, metrics = step(w, x)
    assert metrics == {"loss": 9.0, "norm": 6.0}
    assert gradient.tolist() == [1.0, 0.0]


def test_two_backwards_train_two_modules():
    generator = eqx.nn.Linear(3, 3, key=jax.random.key(0))
    critic = eqx.nn.Linear(3, 1, key=jax.random.key(1))

    @graph.training_step
    def step(x):
        score = jnp.sum(critic(generator(x)))
        of_critic = graph.backward(score, wrt=critic)
        of_generator = graph.backward(-score, wrt=generator)
        return {"critic": of_critic, "generator": of_generator}, {}

    def score(modules):
        return jnp.sum(modules[1](modules[0](jnp.ones(3))))

    of_generator, of_critic = eqx.filter_grad(score)((generator, critic))
    found, _ = step(jnp.ones(3))
    close(found["critic"], of_critic)
    close(found["generator"], jax.tree.map(jnp.negative, of_generator))


def test_a_later_loss_may_depend_on_earlier_gradients():
    @graph.training_step
    def step(w, x):
        gradient = graph.backward(jnp.sum((w * x) ** 3))
        return graph.backward(jnp.sum(gradient**2)), {}

    def penalty(w):
        return jnp.sum(jax.grad(lambda w: jnp.sum((w * 2.0) ** 3))(w) ** 2)

    w = jnp.array([1.0, -0.5])
    close(step(w, 2.0)[0], jax.grad(penalty)(w))


def test_a_prefix_runs_at_run_time_once():
    @graph.training_step
    def step(w, x):
        loss = jnp.sum(jnp.tanh(x @ w))
        return graph.backward(loss), {}

    text = step.inspect("hlo", jnp.ones((3, 2)), jnp.ones((4, 3)))
    assert text.count(" dot(") == 2  # x w, and x' tanh'(x w)


def test_tracing_runs_a_body_once_and_again_up_to_each_backward():
    runs = []

    def plain(w, x):
        runs.append("start")
        return jnp.sum(w * x)

    def twice(w, x):
        runs.append("start")
        loss = jnp.sum(w * x)
        gradient = graph.backward(loss)
        runs.append("end")
        return gradient, {}

    def through_another(w, x):
        return twice(w, x)

    for body, expected in (
        (plain, ["start"]),
        (twice, ["start", "start", "end"]),
        (through_another, ["start", "start", "start", "end"]),  # the first finds out
    ):
        runs.clear()
        gradient, metrics = graph.training_step(body)(jnp.ones(2), jnp.arange(2.0))
        assert runs == expected
        assert gradient.tolist() == [0.0, 1.0]
        assert metrics["loss"] == 1


def test_a_body_that_names_backward_need_not_call_it():
    @graph.training_step
    def step(w, x, exact=True):
        loss = jnp.sum(w * x)
        return loss if exact else graph.backward(loss)

    assert step(jnp.ones(2), 3.0)[0].tolist() == [3.0, 3.0]


def test_the_precision_of_a_backward_is_that_of_its_matrix_products():
    def body(precision):
        def step(w, x):
            return graph.backward(jnp.sum((x @ w) ** 2), precision=precision), {}

        return graph.training_step(step)

    w, x = jnp.ones((3, 2)), jnp.ones((4, 3))
    assert "precision = [HIGH, HIGH]" in body("tf32").inspect("stablehlo", w, x)
    assert "precision = [HIGH, HIGH]" not in body(None).inspect("stablehlo", w, x)
    error = raised(lambda: body("fp7")(w, x))
    assert error.code is Code.E_GRAPH_INVALID
    assert "fp7" in error.message


def test_a_loss_of_the_bodys_own_is_kept():
    @graph.training_step
    def step(w, x):
        return jnp.sum(w * x), {"loss": jnp.float32(-1)}

    assert step(jnp.ones(2), jnp.ones(2))[1] == {"loss": -1.0}


def test_backward_outside_a_step_explains_the_functional_form():
    error = raised(lambda: graph.backward(jnp.float32(1)))
    assert error.code is Code.E_GRAPH_INVALID
    assert "jax.grad" in str(error)


def test_effects_before_backward_are_refused_and_after_it_are_not():
    def before(w, x):
        loss = jnp.sum(w * x)
        jax.debug.print("{}", loss)
        return graph.backward(loss), {}

    error = raised(lambda: graph.training_step(before)(jnp.ones(2), jnp.ones(2)))
    assert error.code is Code.E_GRAPH_INVALID
    assert "effects before it" in error.message

    seen = []

    @graph.training_step
    def after(w, x):
        gradients = graph.backward(jnp.sum(w * x))
        jax.debug.callback(seen.append, jnp.sum(x))
        return gradients, {}

    after(jnp.ones(2), jnp.ones(2))
    jax.effects_barrier()
    assert seen == [2.0]


def test_a_loss_that_is_no_scalar_is_refused():
    for body in (lambda w, x: w * x, lambda w, x: (graph.backward(w * x), {})):
        error = raised(lambda body=body: graph.training_step(body)(jnp.ones(2), jnp.ones(2)))
        assert error.code is Code.E_SHAPE_MISMATCH
        assert "(2,)" in error.message


@pytest.mark.parametrize("loss", [jnp.array(1), jnp.array(1j), "loss"])
def test_a_loss_that_is_not_real_is_refused(loss):
    error = raised(lambda: graph.training_step(lambda w, x: loss)(jnp.ones(2), 1.0))
    assert error.code is Code.E_GRAPH_INVALID


@pytest.mark.parametrize("returned", [(1, 2, 3), {"loss": 1}, None, [1.0]])
def test_a_body_that_returns_something_else_is_told_what_to_return(returned):
    for body in (lambda w, x: returned, lambda w, x: (graph.backward(jnp.sum(w)), returned)[1]):
        error = raised(lambda body=body: graph.training_step(body)(jnp.ones(2), 1.0))
        assert error.code is Code.E_GRAPH_INVALID
        assert "(gradients, metrics)" in str(error)


def test_wrt_that_is_no_parameter_is_refused():
    def step(wrt):
        return graph.training_step(lambda x: (graph.backward(jnp.sum(model(x)), wrt=wrt), {}))

    for wrt, says in (("other", "'other'"), (jnp.ones(3), "(3,)")):
        error = raised(lambda wrt=wrt: step(wrt)(jnp.ones(3)))
        assert error.code is Code.E_GRAPH_INVALID
        assert says in error.message


def test_a_body_that_does_something_else_each_time_is_refused():
    calls = []

    @graph.training_step
    def step(w, x):
        calls.append(1)
        if len(calls) == 2:
            return jnp.sum(w), {}
        return graph.backward(jnp.sum(w * x)), {}

    error = raised(lambda: step(jnp.ones(2), jnp.ones(2)))
    assert error.code is Code.E_GRAPH_INVALID
    assert "a second time" in error.message


def test_backward_of_a_loss_inside_vmap_is_refused():
    @graph.training_step
    def step(w, x):
        return jax.vmap(lambda row: graph.backward(jnp.sum(w * row)))(x), {}

    error = raised(lambda: step(jnp.ones(2), jnp.ones((3, 2))))
    assert error.code is Code.E_GRAPH_INVALID


# -- loss, names --------------------------------------------------------------------------------------


def test_a_loss_is_checked_and_stays_a_function():
    @graph.loss
    def squares(w):
        return jnp.sum(w**2, axis=0)

    assert jax.jit(jax.grad(squares))(jnp.array([1.0, 2.0])).tolist() == [2.0, 4.0]
    error = raised(lambda: squares(jnp.ones((2, 3))))
    assert error.code is Code.E_SHAPE_MISMATCH
    assert "'squares'" in error.message
    assert raised(lambda: squares(jnp.ones(2, jnp.int32))).code is Code.E_GRAPH_INVALID


def test_backward_step_is_another_name():
    assert graph.backward_step is graph.training_step


def test_a_step_shows_its_levels():
    @graph.training_step
    def step(w, x):
        return jnp.sum(op.matmul(x, w) ** 2)

    text = step.inspect("graph", jnp.ones((3, 2)), jax.ShapeDtypeStruct((4, 3), jnp.float32))
    assert "@step(%w: tensor<3x2xf32>, %x: tensor<4x3xf32>)" in text
    assert "tessera.graph.matmul" in text
    step(jnp.ones((3, 2)), jnp.ones((5, 3)))
    assert "%x: tensor<5x3xf32>" in step.inspect("graph")


@pytest.mark.parametrize("function", [3, "name"])
def test_only_functions_are_steps_and_losses(function):
    assert raised(lambda: graph.loss(function)).code is Code.E_GRAPH_INVALID


def test_a_body_without_arguments_is_refused():
    assert raised(lambda: graph.training_step(lambda: 0.0)).code is Code.E_GRAPH_INVALID
    assert raised(lambda: graph.training_step(3)).code is Code.E_GRAPH_INVALID
