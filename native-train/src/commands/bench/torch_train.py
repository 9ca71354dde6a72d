"""Times training steps of YOLOX-nano and its variants in PyTorch on a GPU: forward, backward from a fixed gradient of the head
output, SGD step. Assignment and losses are left out: a whole step is slower. Prints a line of JSON for each network and batch.

python torch_train.py GPU VARIANT,VARIANT... BATCH,BATCH... SIZE STEPS        (pip install torch==2.11.0)
"""
import json, sys, time
import torch, torch.nn as nn, torch.nn.functional as F

def conv(i, o, k, s=1, g=1):
    return nn.Sequential(nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o, 1e-3, 0.03), nn.SiLU(inplace=True))
def separable(k): return lambda i, o, s: nn.Sequential(conv(i, i, k, s, i), conv(i, o, 1))
def depthwise(k): return lambda i, o, s: conv(i, o, k, s, i)
class Mixed(nn.Module):
    def __init__(self, i, ks):
        super().__init__(); self.n = i // len(ks)
        self.convs = nn.ModuleList(nn.Conv2d(self.n, self.n, k, 1, k // 2, groups=self.n, bias=False) for k in ks); self.bn = nn.BatchNorm2d(i, 1e-3, 0.03)
    def forward(self, x): return F.silu(self.bn(torch.cat([c(t) for c, t in zip(self.convs, x.split(self.n, 1))], 1)), inplace=True)
def mixed(ks): return lambda i, o, s: Mixed(i, ks)
class Block(nn.Module):
    def __init__(self, c, shortcut, spatial): super().__init__(); self.a, self.b, self.add = conv(c, c, 1), spatial(c, c, 1), shortcut
    def forward(self, x): y = self.b(self.a(x)); return x + y if self.add else y
class Csp(nn.Module):
    def __init__(self, i, o, n, shortcut, spatial):
        super().__init__(); h = o // 2; self.a, self.b, self.c = conv(i, h, 1), conv(i, h, 1), conv(2 * h, o, 1); self.m = nn.Sequential(*[Block(h, shortcut, spatial) for _ in range(n)])
    def forward(self, x): return self.c(torch.cat([self.m(self.a(x)), self.b(x)], 1))
class Spp(nn.Module):
    def __init__(self): super().__init__(); self.a, self.b = conv(256, 128, 1), conv(512, 256, 1)
    def forward(self, x): x = self.a(x); return self.b(torch.cat([x] + [F.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13)], 1))
class Net(nn.Module):
    def __init__(self, down, blocks, ndown, nblock, head, extra):
        super().__init__(); D, B = down, blocks
        self.stem = conv(12, 16, 3)
        self.d2 = nn.Sequential(D(16, 32, 2), Csp(32, 32, 1, True, B[0])); self.d3 = nn.Sequential(D(32, 64, 2), Csp(64, 64, 3, True, B[1])); self.d4 = nn.Sequential(D(64, 128, 2), Csp(128, 128, 3, True, B[1]))
        self.d5 = nn.Sequential(D(128, 256, 2), Spp(), Csp(256, 256, 1, False, B[1]))
        self.l0, self.p4, self.r1, self.p3 = conv(256, 128, 1), Csp(256, 128, 1, False, nblock), conv(128, 64, 1), Csp(128, 64, 1, False, nblock)
        self.b2, self.n3, self.b1, self.n4 = ndown(64, 64, 2), Csp(128, 128, 1, False, nblock), ndown(128, 128, 2), Csp(256, 256, 1, False, nblock)
        self.b3 = separable(3)(96, 64, 2) if extra else None
        self.st = nn.ModuleList(conv(c, 64, 1) for c in (64, 128, 256)); two = lambda: nn.ModuleList(nn.Sequential(head(64, 64, 1), head(64, 64, 1)) for _ in range(3))
        self.cl, self.rg = two(), two(); self.cp, self.rp = nn.ModuleList(nn.Conv2d(64, 20, 1) for _ in range(3)), nn.ModuleList(nn.Conv2d(64, 5, 1) for _ in range(3))
    def forward(self, x):
        x = self.stem(torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)); d2 = self.d2(x); d3 = self.d3(d2); d4 = self.d4(d3); d5 = self.d5(d4)
        up = lambda t: F.interpolate(t, scale_factor=2.0, mode='nearest')
        f0 = self.l0(d5); f1 = self.r1(self.p4(torch.cat([up(f0), d4], 1))); o2 = self.p3(torch.cat([up(f1), d3], 1)); b = self.b2(o2)
        if self.b3 is not None: b = b + self.b3(torch.cat([F.max_pool2d(d2, 2), d3], 1))
        o1 = self.n3(torch.cat([b, f1], 1)); o0 = self.n4(torch.cat([self.b1(o1), f0], 1)); out = []
        for k, f in enumerate((o2, o1, o0)):
            z = self.st[k](f); out.append(torch.cat([self.rp[k](self.rg[k](z)), self.cp[k](self.cl[k](z))], 1).flatten(2))
        return torch.cat(out, 2)
S3, S5, S7, V7 = separable(3), separable(5), separable(7), depthwise(7); M = [mixed((3, 5)), mixed((3, 5, 7, 9))]
VARIANTS = {'baseline': (S3, [S3, S3], S3, S3, S3, False), 'dw7': (S3, [V7, V7], S3, V7, S5, False), 'mdconv': (S3, M, S7, S7, S3, False), 'final': (V7, M, S3, V7, S5, True)}

gpu, names, batches, size, steps = sys.argv[1], sys.argv[2].split(','), [int(b) for b in sys.argv[3].split(',')], int(sys.argv[4]), int(sys.argv[5])
device = 'cpu' if gpu == 'cpu' else f'cuda:{gpu}'
on_gpu = device != 'cpu'
# What is fastest in single precision: TF32, and cuDNN's choice by trying.
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True
torch.manual_seed(0)


def wait():
    if on_gpu: torch.cuda.synchronize()


for name in names:
    if name not in VARIANTS: continue
    for batch in batches:
        # The better of both orders of memory.
        best = None
        if on_gpu: torch.cuda.reset_peak_memory_stats()
        for order in (torch.channels_last, torch.contiguous_format):
            net = Net(*VARIANTS[name]).to(device).to(memory_format=order).train()
            opt = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, nesterov=True)
            x = (torch.rand(batch, 3, size, size, device=device) * 255).to(memory_format=order)
            g, times = None, []
            for step in range(steps + 3):
                wait()
                start = time.perf_counter()
                opt.zero_grad()
                y = net(x)
                if g is None: g = torch.randn_like(y) * 1e-4
                y.backward(g)
                opt.step()
                wait()
                times.append(time.perf_counter() - start)
            ms = 1e3 * sorted(times[3:])[steps // 2]
            best = ms if best is None else min(best, ms)
        memory = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0
        print(json.dumps({'torch': torch.__version__, 'variant': name, 'batch': batch, 'ms': best, 'images_per_second': 1e3 * batch / best, 'memory_gib': memory}), flush=True)
