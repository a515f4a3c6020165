"""PyTorch as a contestant. MODEL is an .onnx, whose nodes become calls of torch.nn.functional; WEIGHTS is "-", or "train" for training
steps (forward, backward, momentum SGD with weight decay).

For inference three of its modes are tried (traced and optimised with oneDNN, the same channels-last, traced and frozen alone) and the
fastest is taken. For training: plain and channels-last.
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F

import onnx_file
import peer


def conv(n, a, train):
    pads, axes = a["pads"], len(a["kernel_shape"])
    assert pads[:axes] == pads[axes:]
    return lambda x, w, b=None: F.conv2d(x, w, b, a["strides"], pads[:axes], a["dilations"], a["group"])


def pool(n, a, train):
    k, s, p, axes = a["kernel_shape"], a["strides"], a["pads"], 2
    ceil = p[axes:] != p[:axes]
    if n.op == "MaxPool":
        return lambda x: F.max_pool2d(x, k, s, p[:axes], ceil_mode=ceil)
    assert not (ceil and a.get("count_include_pad"))
    return lambda x: F.avg_pool2d(x, k, s, p[:axes], ceil_mode=ceil, count_include_pad=bool(a.get("count_include_pad")))


def batch_norm(n, a, train):
    eps = a.get("epsilon", 1e-5)
    return lambda x, w, b, mean, var: F.batch_norm(x, mean, var, w, b, train, 0.001, eps)


def gemm(n, a, train):
    assert a.get("transB") == 1
    return lambda x, w, b=None: F.linear(x, w, b)


def reshape(n, a, train):
    return lambda x, shape: x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(shape)])


OPS = {
    "Conv": conv,
    "MaxPool": pool,
    "AveragePool": pool,
    "BatchNormalization": batch_norm,
    "Gemm": gemm,
    "Reshape": reshape,
    "Relu": lambda n, a, train: F.relu,
    "Clip": lambda n, a, train: lambda x, low, high: F.relu6(x),
    "GlobalAveragePool": lambda n, a, train: lambda x: F.adaptive_avg_pool2d(x, 1),
    "GlobalMaxPool": lambda n, a, train: lambda x: F.adaptive_max_pool2d(x, 1),
    "LRN": lambda n, a, train: lambda x: F.local_response_norm(x, a["size"], a["alpha"], a["beta"], a["bias"]),
    "Concat": lambda n, a, train: lambda *x: torch.cat(x, a["axis"]),
    "Add": lambda n, a, train: torch.add,
    "Mul": lambda n, a, train: torch.mul,
    "Identity": lambda n, a, train: lambda x: x,
    "Softmax": lambda n, a, train: lambda x: F.softmax(x, a["axis"]),
}


def users(model, name):
    return [n for n in model.nodes if name in n.inputs]


def fuse_scale(model):
    """BatchNormalization, Mul, Add -> one BatchNormalization with weight and bias, as anybody would write it in PyTorch."""
    for norm in [n for n in model.nodes if n.op == "BatchNormalization"]:
        after = users(model, norm.outputs[0])
        if len(after) != 1 or after[0].op != "Mul" or after[0].inputs[1] not in model.tensors:
            continue
        mul, add = after[0], users(model, after[0].outputs[0])
        norm.inputs[1], norm.outputs = mul.inputs[1], mul.outputs
        model.nodes.remove(mul)
        model.tensors[mul.inputs[1]].dims = model.tensors[mul.inputs[1]].dims[:1]
        if len(add) == 1 and add[0].op == "Add" and add[0].inputs[1] in model.tensors:
            norm.inputs[2], norm.outputs = add[0].inputs[1], add[0].outputs
            model.nodes.remove(add[0])
            model.tensors[add[0].inputs[1]].dims = model.tensors[add[0].inputs[1]].dims[:1]


class Net(torch.nn.Module):
    def __init__(self, path, outputs, train):
        super().__init__()
        model = onnx_file.Model(path)
        fuse_scale(model)
        self.outputs, self.first, self.steps, self.constants = outputs, model.inputs[0], [], {}
        for n in model.nodes:
            if train and n.op == "Softmax":  # the loss takes what is before it
                self.outputs = [n.inputs[0]]
                continue
            self.steps.append((OPS[n.op](n, n.attributes, train), n.inputs, n.outputs[0]))
        fixed = {x for n in model.nodes if n.op == "BatchNormalization" for x in n.inputs[3:]}
        for name, t in model.tensors.items():
            if t.values.typecode == "q":
                self.constants[name] = list(t.values)
                continue
            v = torch.from_numpy(np.array(t.values, np.float32).reshape(t.dims))
            key = "p" + str(len(self.constants))
            if name in fixed:
                self.register_buffer(key, v)
            else:
                self.register_parameter(key, torch.nn.Parameter(v, requires_grad=train))
            self.constants[name] = key

    def forward(self, x):
        values = {self.first: x}

        def value(name):
            if name in values:
                return values[name]
            c = self.constants[name]
            return getattr(self, c) if isinstance(c, str) else c

        for run, inputs, out in self.steps:
            values[out] = run(*[value(i) for i in inputs])
        return tuple(values[o] for o in self.outputs)


def modes(net, x):
    traced = torch.jit.freeze(torch.jit.trace(net, x))
    yield "frozen", traced, x
    yield "oneDNN", torch.jit.optimize_for_inference(torch.jit.trace(net, x)), x
    last = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
    yield "oneDNN, channels last", torch.jit.optimize_for_inference(torch.jit.trace(net.to(memory_format=torch.channels_last), last)), last


def fastest(candidates):
    best = None
    for name, f, x in candidates:
        try:
            for _ in range(3):
                f(x)
            begin = peer.now()
            for _ in range(3):
                f(x)
            took = peer.now() - begin
        except RuntimeError as e:
            print(f"PyTorch, {name}: {e}", file=sys.stderr)
            continue
        if not best or took < best[0]:
            best = took, name, f, x
    return best[1:]


def infer(call):
    start = peer.now()
    net = Net(call.model, call.outputs, False).eval()
    x = torch.from_numpy(call.x)
    last = []
    with torch.no_grad():
        net(x)
        loaded = peer.now() - start
        mode, f, x = fastest(modes(net, x))
        print(f"mode {mode}", file=sys.stderr)

        def run():
            last[:] = f(x)

        run()
        peer.serve(peer.now() - loaded, run, lambda: [y.numpy() for y in last])


def train(call):
    start = peer.now()
    net = Net(call.model, call.outputs, True).train()
    x = torch.from_numpy(call.x)
    labels = torch.zeros(x.shape[0], dtype=torch.long)
    losses = []

    def stepper(net):
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-5, momentum=0.9, weight_decay=0.0005)

        def step(x):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(net(x)[0].reshape(x.shape[0], -1), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

        return step

    stepper(net)(x)
    loaded = peer.now() - start
    last = x.contiguous(memory_format=torch.channels_last)
    plain = stepper(net)
    candidates = [("plain", plain, x)]

    def channels_last():
        net.to(memory_format=torch.channels_last)
        return "channels last", stepper(net), last

    def in_turn():
        yield candidates[0]
        yield channels_last()

    mode, f, x = fastest(in_turn())
    print(f"mode {mode}", file=sys.stderr)
    if mode == "plain":
        net.to(memory_format=torch.contiguous_format)
    peer.serve(peer.now() - loaded, lambda: f(x), lambda: [np.array(losses[:1], np.float32)])


def main():
    call = peer.Call()
    torch.set_num_threads(call.threads)
    torch.backends.mkldnn.enabled = True
    (train if call.weights == "train" else infer)(call)


main()
