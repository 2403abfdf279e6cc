"""conf/model describes the paper's networks (section 4.2, Tables 1 - 3) and torchvision's wider
ones.
"""

from resnet_cli.models.architecture import Stem, StrideIn
from resnet_cli.models.zoo import NETWORKS

CIFAR = {f"plain{depth}": f"plain{depth}" for depth in (20, 32, 44, 56, 110)}
CIFAR |= {f"resnet{depth}": f"resnet{depth}-A" for depth in (20, 32, 44, 56, 110, 1202)}
# He et al. 2016 (Identity Mappings) and Zagoruyko and Komodakis 2016
CIFAR |= {f"resnet{depth}": f"resnet{depth}-bottleneck-B" for depth in (164, 1001)}
LATER = {f"preact{depth}": f"preact{depth}-A" for depth in (20, 32, 44, 56, 110)}
LATER |= {f"preact{depth}": f"preact{depth}-bottleneck-B" for depth in (164, 1001)}
LATER |= {f"wrn{name}": f"wrn{name.replace('_', '-')}-B" for name in ("16_8", "28_10", "40_4")}
IMAGENET = {f"plain{depth}": f"plain{depth}" for depth in (18, 34, 50)}
IMAGENET |= {f"resnet{depth}": f"resnet{depth}-A" for depth in (18, 34)}  # Table 2
IMAGENET |= {f"resnet{depth}": f"resnet{depth}-B" for depth in (50, 101, 152)}  # section 4.1
# torchvision.models.resnet: groups x width_per_group
WIDER = {
    "resnext50_32x4d": "resnet50-32x4d-B",
    "resnext101_32x8d": "resnet101-32x8d-B",
    "resnext101_64x4d": "resnet101-64x4d-B",
    "resnext50_1x64d": "resnet50-B",
    "resnext101_1x64d": "resnet101-B",
    **{
        f"resnext{depth}_{kind}": f"resnet{depth}-{kind}-B"
        for depth in (50, 101)
        for kind in ("2x40d", "4x24d", "8x14d")
    },
    "resnext101_32x4d": "resnet101-32x4d-B",
    "wide_resnet50_2": "resnet50-1x128d-B",
    "wide_resnet101_2": "resnet101-1x128d-B",
}


def test_networks_are_the_papers_and_torchvisions() -> None:
    assert {name: net.name for name, net in NETWORKS.items()} == CIFAR | LATER | IMAGENET | WIDER
    for name, net in NETWORKS.items():
        assert (net.stem, net.num_classes) == (
            (Stem.cifar, 10) if name in CIFAR | LATER else (Stem.imagenet, 1000)
        )
        assert net.stride_in == (StrideIn.middle if name in WIDER else StrideIn.first), name


def test_they_are_listed_as_people_count() -> None:
    names = list(NETWORKS)
    assert names[:6] == ["plain20", "plain32", "plain44", "plain56", "plain110", "resnet20"]
    assert names.index("resnet1202") + 1 == names.index("preact20")
    assert names.index("wrn40_4") + 1 == names.index("plain18")
