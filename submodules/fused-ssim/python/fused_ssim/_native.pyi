from torch import Tensor

def l1_ssim(
    image: Tensor,
    target: Tensor,
    gradient: Tensor | None,
    l1_weight: float,
    ssim_weight: float,
    threads: int,
    variant: str = "auto",
) -> tuple[float, float]: ...
def simd_variants() -> list[str]: ...
