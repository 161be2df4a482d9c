"""Built-in tasks of reinforcement learning: environments that come with gymnasium.

References:
    Sutton, Barto: Reinforcement Learning, 2nd ed., MIT Press, 2018.
    Towers et al.: Gymnasium, a standard interface for reinforcement learning environments, 2024.
"""

from steelyard.tasks.dataset import PreparedTask
from steelyard.tasks.episodes import environment_task


def frozenlake(seed: int = 0) -> PreparedTask:
    """A lake of 8 × 8 with holes, slippery: one of three steps goes where it should. 1 for reaching the other corner.

    The best of all policies, found by value iteration over the 200 steps of an episode, reaches it in 91.3 % of them.
    """
    defaults = {"families": ["q-learning", "sarsa"], "budget_s": 180}
    return environment_task("FrozenLake8x8-v1", name="frozenlake", seed=seed, discount=0.99, defaults=defaults)


def taxi(seed: int = 0) -> PreparedTask:
    """A taxi on a grid of 5 × 5 takes a passenger home: −1 a step, −10 for a mistake, 20 for the job.

    Dietterich, "Hierarchical reinforcement learning with the MAXQ value function decomposition", Journal of Artificial
    Intelligence Research, 2000. The best policy earns 7.93 in the mean.
    """
    defaults = {"families": ["q-learning", "sarsa"], "budget_s": 180}
    return environment_task("Taxi-v4", name="taxi", seed=seed, discount=0.99, defaults=defaults)


def mountaincar(seed: int = 0) -> PreparedTask:
    """A car too weak for the hill before it must swing: −1 a step, at most 200 of them.

    Moore, "Efficient memory-based learning for robot control", University of Cambridge, 1990.
    """
    defaults = {"families": ["q-learning", "sarsa"], "budget_s": 300}
    return environment_task("MountainCar-v0", name="mountaincar", seed=seed, discount=0.99, defaults=defaults)


def cartpole(seed: int = 0) -> PreparedTask:
    """A pole on a cart is kept upright by pushing the cart: 1 a step, at most 500 of them.

    Barto, Sutton, Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems", IEEE
    Transactions on Systems, Man, and Cybernetics, 1983.
    """
    defaults = {"families": ["dqn"], "budget_s": 600}
    return environment_task("CartPole-v1", name="cartpole", seed=seed, discount=0.99, defaults=defaults)
